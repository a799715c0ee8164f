/** Images on this host: found, or pulled with their progress told. */
import { InsienError } from "@insien/protocol";
import type { Progress } from "@insien/runtime";
import { jsonLines, untilAborted, type Engine } from "./engine.ts";
import { assertReference, withTag } from "./image-reference.ts";
import { assertRegistry } from "./registries.ts";

export interface StoredImage {
  id: string;
  /** The image's own USER, when it names one that is not root. */
  user: string | undefined;
  labels: Readonly<Record<string, string>>;
  /** Instructions that run in builds that start from it. */
  triggers: readonly string[];
}

export interface ImageCallOptions {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** One line of the Engine's pull and import streams. */
interface PullLine {
  id?: string;
  status?: string;
  error?: string;
  progressDetail?: { current?: number; total?: number };
}

const isRoot = (user: string): boolean => /^(root|0)?(:.*)?$/.test(user);

export class ImageStore {
  readonly #engine: Engine;
  readonly #registries: readonly string[] | undefined;

  /** `registries`: which alone are pulled from; any at public addresses by default. */
  constructor(engine: Engine, registries?: readonly string[]) {
    this.#engine = engine;
    this.#registries = registries;
  }

  /** Throws `invalid_request` for what cannot be the name of an image. */
  async find(reference: string): Promise<StoredImage | undefined> {
    assertReference(reference);
    const image = this.#engine.docker.getImage(withTag(reference));
    const what = `looking for the image ${reference}`;
    const info = await this.#engine.ask(what, () => image.inspect());
    if (info === undefined) return undefined;
    const user = info.Config?.User ?? "";
    return {
      id: info.Id,
      user: isRoot(user) ? undefined : user.split(":")[0],
      labels: info.Config?.Labels ?? {},
      triggers: info.Config?.OnBuild ?? [],
    };
  }

  /** Throws `image_unavailable` with the registry's own words. */
  async pull(reference: string, options: ImageCallOptions = {}): Promise<StoredImage> {
    const { signal, onProgress } = options;
    await assertRegistry(reference, this.#registries);
    try {
      const pulling = await this.#engine.docker.pull(withTag(reference));
      await untilAborted(pulling, signal, () => follow(pulling, onProgress));
      signal?.throwIfAborted();
    } catch (cause) {
      signal?.throwIfAborted();
      throw this.#engine.failure("image_unavailable", `pulling the image ${reference}`, cause);
    }
    const pulled = await this.find(reference);
    if (pulled !== undefined) return pulled;
    throw new InsienError(
      "image_unavailable",
      `the image ${reference} is gone right after its pull`,
    );
  }
}

async function follow(
  stream: NodeJS.ReadableStream,
  onProgress: ((progress: Progress) => void) | undefined,
): Promise<void> {
  const layers = new Map<string, { current: number; total: number }>();
  for await (const value of jsonLines(stream)) {
    const line = value as PullLine;
    if (line.error !== undefined) throw new Error(line.error);
    const { current, total } = line.progressDetail ?? {};
    if (line.id !== undefined && line.status === "Downloading" && total !== undefined) {
      layers.set(line.id, { current: current ?? 0, total });
    }
    const known = layers.get(line.id ?? "");
    if (known !== undefined && line.status === "Download complete") known.current = known.total;
    onProgress?.({ step: "pull", ...sum(layers), message: wordsOf(line) });
  }
}

const wordsOf = ({ id, status = "" }: PullLine): string =>
  id === undefined ? status : `${id}: ${status}`;

function sum(layers: Map<string, { current: number; total: number }>) {
  if (layers.size === 0) return {};
  const all = [...layers.values()];
  return {
    current: all.reduce((bytes, layer) => bytes + layer.current, 0),
    total: all.reduce((bytes, layer) => bytes + layer.total, 0),
  };
}
