/** The home of a machine's user, where the machine's root is read-only: a volume of its own. */
import type { MachineSpec } from "@insien/runtime";
import type Docker from "dockerode";
import { imageIdOf } from "./container-options.ts";
import { isNotFound, type Engine } from "./engine.ts";
import { withHelper } from "./helper-container.ts";
import { homeVolumeName, LABELS } from "./machine-labels.ts";

const REMEMBERED = 256;
const TAR_BLOCK = 512;
const SIZE_FIELD = { start: 124, end: 136 };
const TYPE_FIELD = 156;
/** An account file of more than this belongs to no image that means well. */
const PASSWD_BYTES = 1024 * 1024;

export class MachineHomes {
  readonly #engine: Engine;
  readonly #ownerId: string;
  /** By image and user; images do not change. */
  readonly #homes = new Map<string, string | undefined>();

  constructor(engine: Engine, ownerId: string) {
    this.#engine = engine;
    this.#ownerId = ownerId;
  }

  /**
   * On the disk and not in memory. Docker copies into it what the image has there, owners included.
   * `undefined` when the image has no home for its user.
   */
  async mountFor(spec: MachineSpec): Promise<Docker.MountSettings | undefined> {
    const home = await this.#homeIn(imageIdOf(spec.template.fingerprint), spec.template.user);
    if (home === undefined) return undefined;
    const { machineId } = spec;
    return {
      Type: "volume",
      Source: homeVolumeName(machineId),
      Target: home,
      VolumeOptions: {
        NoCopy: false,
        Labels: { [LABELS.owner]: this.#ownerId, [LABELS.machine]: machineId },
        DriverConfig: { Name: "local", Options: {} },
      },
    };
  }

  async #homeIn(image: string, user: string | undefined): Promise<string | undefined> {
    const key = `${image} ${user ?? ""}`;
    if (this.#homes.has(key)) return this.#homes.get(key);
    const options = { ownerId: this.#ownerId, subject: "home", image };
    const home = await withHelper(this.#engine, options, async (container) => {
      const path = homeOf(await passwdOf(container), user);
      return path !== undefined && (await has(container, path)) ? path : undefined;
    });
    if (this.#homes.size >= REMEMBERED) this.#homes.clear();
    this.#homes.set(key, home);
    return home;
  }
}

/** As the agent chooses its commands' user: the one asked for, else `user`, else root. */
export function homeOf(passwd: string, user: string | undefined): string | undefined {
  const rows = passwd.split("\n").map((line) => line.split(":"));
  const find = (wanted: string) => rows.find(([name, , uid]) => name === wanted || uid === wanted);
  const row = user === undefined ? (find("user") ?? find("0")) : find(user);
  const home = row?.[5] ?? "";
  const usable = /^\/[^/\0]/.test(home) && !home.split("/").includes("..");
  return usable ? home : undefined;
}

async function passwdOf(container: Docker.Container): Promise<string> {
  try {
    return await accountsIn(await container.getArchive({ path: "/etc/passwd" }));
  } catch (error) {
    if (isNotFound(error)) return "";
    throw error;
  }
}

/** The one file of a tar, read no further than such a file may reach: images are anybody's. */
export async function accountsIn(archive: AsyncIterable<string | Buffer>): Promise<string> {
  const bytes = await startOf(archive, TAR_BLOCK + PASSWD_BYTES);
  const field = bytes.toString("latin1", SIZE_FIELD.start, SIZE_FIELD.end);
  const size = Number.parseInt(field, 8);
  const isFile = bytes.toString("latin1", TYPE_FIELD, TYPE_FIELD + 1) === "0";
  if (!isFile || !(size <= PASSWD_BYTES)) return "";
  return bytes.toString("utf8", TAR_BLOCK, TAR_BLOCK + size);
}

async function startOf(source: AsyncIterable<string | Buffer>, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of source) {
    const bytes = Buffer.from(chunk);
    chunks.push(bytes);
    total += bytes.length;
    if (total >= length) break;
  }
  return Buffer.concat(chunks);
}

async function has(container: Docker.Container, path: string): Promise<boolean> {
  try {
    const answer = await container.infoArchive({ path });
    (answer as NodeJS.ReadableStream).resume();
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
