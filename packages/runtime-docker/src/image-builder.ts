/** The images that Insien brings: built from `images/`, and named by what they are built from. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { InsienError, type ErrorCode } from "@insien/protocol";
import { bootstrapDebian } from "./debian-bootstrap.ts";
import { jsonLines, untilAborted, type Engine } from "./engine.ts";
import type { ImageCallOptions, ImageStore } from "./image-store.ts";

/** The image reference that stands for "built from images/base". */
export const BASE_IMAGE = "insien-base";
const NETGUARD_IMAGE = "insien-netguard";
const DEBIAN = "debian:bookworm-slim";

interface BuildLine {
  stream?: string;
  error?: string;
}

export class ImageBuilder {
  readonly #engine: Engine;
  readonly #store: ImageStore;
  readonly #directory: string;
  readonly #running = new Map<string, Promise<string>>();

  /** `directory` holds a folder with a Dockerfile for each image. */
  constructor(engine: Engine, store: ImageStore, directory: string) {
    this.#engine = engine;
    this.#store = store;
    this.#directory = directory;
  }

  /** The reference of the base image, built first when it is not there. */
  async base(options: ImageCallOptions = {}): Promise<string> {
    return await this.#once(BASE_IMAGE, "base", "image_unavailable", options);
  }

  async netguard(options: ImageCallOptions = {}): Promise<string> {
    return await this.#once(NETGUARD_IMAGE, "netguard", "create_failed", options);
  }

  /** Callers who ask while it is being built wait for the same build; a failed one is tried anew. */
  async #once(
    name: string,
    folder: string,
    code: ErrorCode,
    options: ImageCallOptions,
  ): Promise<string> {
    const running = this.#running.get(name);
    if (running !== undefined) return await running;
    const build = this.#build(name, folder, code, options);
    this.#running.set(name, build);
    return await build.catch((error: unknown) => {
      this.#running.delete(name);
      throw error;
    });
  }

  async #build(
    name: string,
    folder: string,
    code: ErrorCode,
    options: ImageCallOptions,
  ): Promise<string> {
    const context = join(this.#directory, folder);
    const files = (await readdir(context)).toSorted();
    const reference = `${name}:${await contentHash(context, files)}`;
    if ((await this.#store.find(reference)) !== undefined) return reference;
    await this.#ensureDebian(options);
    try {
      const building = await this.#engine.docker.buildImage(
        { context, src: files },
        { t: reference, rm: true, forcerm: true },
      );
      await untilAborted(building, options.signal, () => followBuild(building, options));
      options.signal?.throwIfAborted();
    } catch (cause) {
      throw this.#engine.failure(code, `building the image ${reference}`, cause);
    }
    return reference;
  }

  /** What the Dockerfiles start from: present, pulled, or made from Debian's own archive. */
  async #ensureDebian(options: ImageCallOptions): Promise<void> {
    if ((await this.#store.find(DEBIAN)) !== undefined) return;
    try {
      await this.#store.pull(DEBIAN, options);
    } catch (cause) {
      options.signal?.throwIfAborted();
      options.onProgress?.({
        step: "bootstrap",
        message: `${DEBIAN} cannot be pulled; making it from Debian's archive`,
      });
      await bootstrapDebian(this.#engine, DEBIAN, options).catch((error: unknown) => {
        const said = cause instanceof InsienError ? cause.message : String(cause);
        const why = error instanceof Error ? error.message : String(error);
        throw new InsienError("image_unavailable", `${said}; ${why}`, { cause: error });
      });
    }
  }
}

async function contentHash(directory: string, files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\0`).update(await readFile(join(directory, file)));
  return hash.digest("hex").slice(0, 12);
}

async function followBuild(
  stream: NodeJS.ReadableStream,
  options: ImageCallOptions,
): Promise<void> {
  for await (const value of jsonLines(stream)) {
    const line = value as BuildLine;
    if (line.error !== undefined) throw new Error(line.error);
    tellStep(line, options);
  }
}

/** "Step 3/9 : RUN ..." becomes numbers; the rest of the output is passed on as it comes. */
function tellStep(line: BuildLine, { onProgress }: ImageCallOptions): void {
  const message = line.stream?.trim();
  if (message === undefined || message === "") return;
  const [, current, total] = /^Step (\d+)\/(\d+)/.exec(message) ?? [];
  const counted = current === undefined ? {} : { current: Number(current), total: Number(total) };
  onProgress?.({ step: "build", ...counted, message });
}
