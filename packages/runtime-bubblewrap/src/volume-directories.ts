/**
 * Volumes on disk: `<dataDirectory>/volumes/<volumeId>/` with `volume.json`, which says whose it is,
 * and `files/`, which machines see.
 */
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InsienError, newId } from "@insien/protocol";
import type { CallOptions, StoredVolume, VolumeMount, VolumeSpec } from "@insien/runtime";
import type { MachineRecord } from "./machine-record.ts";
import { run } from "./programs.ts";
import { removeTree } from "./removal.ts";

interface VolumeRecord {
  ownerId: string;
  volumeId: string;
  createdAt: string;
}

/** Anyone may make files in a volume's root, and remove only their own. */
const ROOT_MODE = 0o1777;
const ID = /^[A-Za-z0-9_-]{1,64}$/;
const MAKING_PREFIX = ".making-";
const REMOVED_PREFIX = ".removed-";

export class VolumeDirectories {
  readonly #root: string;
  readonly #ownerId: string;
  /** Machines of all owners. */
  readonly #machines: () => Promise<MachineRecord[]>;

  constructor(dataDirectory: string, ownerId: string, machines: () => Promise<MachineRecord[]>) {
    this.#root = join(dataDirectory, "volumes");
    this.#ownerId = ownerId;
    this.#machines = machines;
  }

  async create(spec: VolumeSpec): Promise<void> {
    const { volumeId, driver, sizeBytes } = spec;
    if (driver !== "local" || sizeBytes !== undefined) {
      const what = driver === "local" ? "no size of a volume can be held to" : "there is no nfs";
      const message = `Volume ${volumeId} cannot be made as asked: with bubblewrap ${what}; use Docker`;
      throw new InsienError("volume_unsupported", message);
    }
    if (!ID.test(volumeId))
      throw new InsienError("invalid_request", `${volumeId} is no volume's id`);
    if ((await this.#find(volumeId)) !== undefined) return;
    const record = { ownerId: this.#ownerId, volumeId, createdAt: new Date().toISOString() };
    const making = join(this.#root, `${MAKING_PREFIX}${newId()}`);
    await mkdir(join(making, "files"), { recursive: true, mode: 0o711 });
    await chmod(join(making, "files"), ROOT_MODE);
    await writeFile(join(making, "volume.json"), JSON.stringify(record), { mode: 0o600 });
    await rename(making, join(this.#root, volumeId)).catch((cause: unknown) => {
      throw new InsienError("volume_failed", `Volume ${volumeId} could not be made`, { cause });
    });
  }

  async destroy(volumeId: string): Promise<boolean> {
    if ((await this.#find(volumeId)) === undefined) return false;
    const users = (await this.#machines()).filter(({ volumes = [] }) =>
      volumes.some((mount) => mount.volumeId === volumeId),
    );
    if (users.length > 0) {
      const machines = users.map(({ machineId }) => `machine ${machineId}`);
      const message = `Volume ${volumeId} is mounted by ${machines.join(", ")}`;
      throw new InsienError("volume_in_use", message, { details: { machines } });
    }
    const remains = join(this.#root, `${REMOVED_PREFIX}${newId()}`);
    await rename(join(this.#root, volumeId), remains);
    await removeTree(remains);
    return true;
  }

  async list(): Promise<StoredVolume[]> {
    const names = await readdir(this.#root).catch(() => []);
    const records = await Promise.all(names.map((name) => this.#find(name)));
    return records
      .filter((record) => record !== undefined)
      .map(({ volumeId, createdAt }) => ({
        volumeId,
        driver: "local",
        createdAt: new Date(createdAt),
      }));
  }

  async sizes(
    volumeIds: readonly string[],
    { signal }: CallOptions = {},
  ): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const volumeId of volumeIds) {
      signal?.throwIfAborted();
      if ((await this.#find(volumeId)) === undefined) continue;
      const bytes = await bytesBelow([this.#files(volumeId)]);
      if (bytes !== undefined) sizes.set(volumeId, bytes);
    }
    return sizes;
  }

  /** Throws `volume_not_found`. */
  async mustHave(mounts: readonly VolumeMount[]): Promise<void> {
    for (const { volumeId } of mounts) {
      if ((await this.#find(volumeId)) !== undefined) continue;
      throw new InsienError(
        "volume_not_found",
        `There is no volume ${volumeId} of this owner here`,
      );
    }
  }

  /**
   * The directories of a machine's volumes on the host, in their order. What a machine that is gone
   * left in a volume that nobody else has becomes this machine's own.
   */
  async prepare(record: MachineRecord): Promise<string[]> {
    const { volumes = [], machineId, hostUid } = record;
    const others = (await this.#machines()).filter((other) => other.machineId !== machineId);
    const shared = new Set(
      others.flatMap((other) => (other.volumes ?? []).map(({ volumeId }) => volumeId)),
    );
    for (const { volumeId } of volumes) {
      const files = this.#files(volumeId);
      if (hostUid === undefined || shared.has(volumeId)) continue;
      if ((await stat(files)).uid === hostUid) continue;
      const owner = `${hostUid}:${hostUid}`;
      await run(["chown", "--recursive", "--no-dereference", "--", owner, files]);
    }
    return volumes.map(({ volumeId }) => this.#files(volumeId));
  }

  #files(volumeId: string): string {
    return join(this.#root, volumeId, "files");
  }

  async #find(volumeId: string): Promise<VolumeRecord | undefined> {
    if (!ID.test(volumeId)) return undefined;
    const path = join(this.#root, volumeId, "volume.json");
    const text = await readFile(path, "utf8").catch(() => "");
    const record = text === "" ? undefined : (JSON.parse(text) as VolumeRecord);
    return record?.ownerId === this.#ownerId ? record : undefined;
  }
}

/** By `du`, which follows no link and knows no depth too deep. */
export async function bytesBelow(paths: readonly string[]): Promise<number | undefined> {
  const options = ["--summarize", "--total", "--one-file-system", "--block-size=1", "--"];
  const { stdout } = await run(["du", ...options, ...paths]);
  const total = Number.parseInt(stdout.trimEnd().split("\n").at(-1) ?? "", 10);
  return Number.isNaN(total) ? undefined : total;
}
