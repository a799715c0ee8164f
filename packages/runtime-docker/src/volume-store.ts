/** Volumes as named volumes of Docker's local driver. */
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { promisify } from "node:util";
import { InsienError } from "@insien/protocol";
import type { CallOptions, StoredVolume, VolumeMount, VolumeSpec } from "@insien/runtime";
import type Docker from "dockerode";
import { engineWords, isConflict, isNotFound, type Engine } from "./engine.ts";
import { putEntries, withHelper } from "./helper-container.ts";
import { LABELS } from "./machine-labels.ts";
import { driverOptions, volumeLabels, volumeMount, volumeName } from "./volume-names.ts";

const run = promisify(execFile);
/** Anyone may make files in a volume's root, and remove only their own: sandboxes differ in users. */
const ROOT_MODE = 0o1777;
const HELPER_PLACE = "/volumes";
/** Walking more at once makes a slow disk slower. */
const WALKS_AT_ONCE = 2;

type VolumeInfo = Docker.VolumeInspectInfo & { CreatedAt?: string };

export class VolumeShelf {
  readonly #engine: Engine;
  readonly #ownerId: string;

  constructor(engine: Engine, ownerId: string) {
    this.#engine = engine;
    this.#ownerId = ownerId;
  }

  /** Idempotent, also when an earlier call was cut short. */
  async create(spec: VolumeSpec, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const { volumeId } = spec;
    if (spec.driver === "nfs" && spec.sizeBytes !== undefined) {
      const message = `The size of volume ${volumeId} cannot be held to: it is the nfs server's to limit`;
      throw new InsienError("volume_unsupported", message);
    }
    const existing = await this.#find(volumeId);
    if (existing === undefined) await this.#make(spec);
    if (spec.driver === "local") await this.#openToAll(volumeId);
  }

  async #make(spec: VolumeSpec): Promise<void> {
    const { volumeId } = spec;
    try {
      await this.#engine.docker.createVolume({
        Name: volumeName(this.#ownerId, volumeId),
        Driver: "local",
        DriverOpts: driverOptions(spec),
        Labels: volumeLabels(this.#ownerId, volumeId),
      });
    } catch (cause) {
      if (/quota/.test(engineWords(cause))) {
        const message =
          `The size of volume ${volumeId} cannot be held to on this host: Docker's local driver limits ` +
          "sizes only where the file system of its data directory has project quotas " +
          `(XFS or ext4, mounted with prjquota). Docker says: ${engineWords(cause)}`;
        throw new InsienError("volume_unsupported", message, { cause });
      }
      throw this.#engine.failure("volume_failed", `making volume ${volumeId}`, cause);
    }
  }

  async #openToAll(volumeId: string): Promise<void> {
    await this.#mounted([{ volumeId, target: "", readOnly: false }], async (container) => {
      await putEntries(container, HELPER_PLACE, [{ path: "0/", mode: ROOT_MODE }]);
    });
  }

  /** Mounts the volumes where nothing runs: throws `volume_failed` with the driver's own words. */
  async tryMounts(mounts: readonly VolumeMount[]): Promise<void> {
    const infos = await this.mustHave(mounts);
    // A directory of this host needs no trying.
    const remote = mounts.filter((_, index) => infos[index]?.Options?.["type"] !== undefined);
    if (remote.length === 0) return;
    await this.#mounted(remote, async (container) => {
      await putEntries(container, "/", []);
    });
  }

  async #mounted(
    mounts: readonly VolumeMount[],
    use: (container: Docker.Container) => Promise<void>,
  ): Promise<void> {
    const ownerId = this.#ownerId;
    const settings = mounts.map((mount, index) =>
      volumeMount(ownerId, { ...mount, target: `${HELPER_PLACE}/${index}` }),
    );
    const ids = mounts.map(({ volumeId }) => volumeId).join(", ");
    try {
      await withHelper(this.#engine, { ownerId, subject: "volumes", mounts: settings }, use);
    } catch (cause) {
      throw this.#engine.failure("volume_failed", `mounting volume ${ids}`, cause);
    }
  }

  /** Throws `volume_not_found` unless all are there: Docker would make them. */
  async mustHave(mounts: readonly VolumeMount[]): Promise<VolumeInfo[]> {
    return await Promise.all(
      mounts.map(async ({ volumeId }) => {
        const info = await this.#find(volumeId);
        if (info !== undefined) return info;
        throw new InsienError("volume_not_found", `Docker has no volume ${volumeId} of this owner`);
      }),
    );
  }

  async destroy(volumeId: string, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    if ((await this.#find(volumeId)) === undefined) return false;
    try {
      await this.#volume(volumeId).remove();
      return true;
    } catch (cause) {
      if (isNotFound(cause)) return false;
      if (isConflict(cause)) {
        const users = await this.#usersOf(volumeId);
        const message = `Volume ${volumeId} is mounted by ${users.join(", ") || "a container"}`;
        throw new InsienError("volume_in_use", message, { cause, details: { machines: users } });
      }
      throw this.#engine.failure("volume_failed", `removing volume ${volumeId}`, cause);
    }
  }

  async #usersOf(volumeId: string): Promise<string[]> {
    const filters = JSON.stringify({ volume: [volumeName(this.#ownerId, volumeId)] });
    const users = await this.#engine.docker.listContainers({ all: true, filters });
    return users.map(({ Labels, Id }) => `machine ${Labels[LABELS.machine] ?? Id}`);
  }

  async list({ signal }: CallOptions = {}): Promise<StoredVolume[]> {
    signal?.throwIfAborted();
    return (await this.#infos()).map((info) => ({
      volumeId: info.Labels[LABELS.volume] ?? "",
      driver: driverOf(info),
      createdAt: new Date(info.CreatedAt ?? 0),
    }));
  }

  /** Walks the directories where this process sees them, and has Docker do it otherwise. */
  async sizes(
    volumeIds: readonly string[],
    { signal }: CallOptions = {},
  ): Promise<Map<string, number>> {
    signal?.throwIfAborted();
    const wanted = new Set(volumeIds);
    const infos = (await this.#infos()).filter(
      (info) => wanted.has(info.Labels[LABELS.volume] ?? "") && driverOf(info) === "local",
    );
    const sizes = new Map<string, number>();
    const waiting = [...infos];
    const walk = async (): Promise<void> => {
      for (let info = waiting.pop(); info !== undefined; info = waiting.pop()) {
        const bytes = await bytesBelow(info.Mountpoint, signal);
        if (bytes !== undefined) sizes.set(info.Labels[LABELS.volume] ?? "", bytes);
      }
    };
    await Promise.all(Array.from({ length: WALKS_AT_ONCE }, walk));
    if (sizes.size < infos.length) await this.#askForSizes(wanted, sizes);
    return sizes;
  }

  async #askForSizes(wanted: ReadonlySet<string>, sizes: Map<string, number>): Promise<void> {
    const usage = (await this.#engine.ask("asking Docker for volumes' sizes", () =>
      this.#engine.docker.df(),
    )) as { Volumes?: VolumeInfo[] } | undefined;
    for (const { Labels, UsageData } of usage?.Volumes ?? []) {
      const volumeId = Labels?.[LABELS.volume];
      const own = Labels?.[LABELS.owner] === this.#ownerId;
      const bytes = UsageData?.Size ?? -1;
      if (own && volumeId !== undefined && wanted.has(volumeId) && bytes >= 0) {
        sizes.set(volumeId, bytes);
      }
    }
  }

  async #infos(): Promise<VolumeInfo[]> {
    const label = [`${LABELS.owner}=${this.#ownerId}`, LABELS.volume];
    const listed = await this.#engine.ask("listing volumes", () =>
      this.#engine.docker.listVolumes({ filters: JSON.stringify({ label }) as never }),
    );
    return listed?.Volumes ?? [];
  }

  #volume(volumeId: string): Docker.Volume {
    return this.#engine.docker.getVolume(volumeName(this.#ownerId, volumeId));
  }

  async #find(volumeId: string): Promise<VolumeInfo | undefined> {
    const what = `looking for volume ${volumeId}`;
    const info = await this.#engine.ask(what, () => this.#volume(volumeId).inspect());
    return info?.Labels?.[LABELS.owner] === this.#ownerId ? info : undefined;
  }
}

const driverOf = (info: VolumeInfo): "local" | "nfs" =>
  info.Options?.["type"] === "nfs" ? "nfs" : "local";

/** By `du`, which follows no link and knows no depth too deep. `undefined` when it cannot be seen. */
export async function bytesBelow(path: string, signal?: AbortSignal): Promise<number | undefined> {
  if (
    !(await access(path).then(
      () => true,
      () => false,
    ))
  )
    return undefined;
  const options = { maxBuffer: 1024 * 1024, ...(signal === undefined ? {} : { signal }) };
  const args = ["--summarize", "--one-file-system", "--block-size=1", "--", path];
  // Files that vanish under it make it say so and count on.
  const stdout = await run("du", args, options).then(
    (ended) => ended.stdout,
    (error: unknown) => {
      signal?.throwIfAborted();
      return error instanceof Error && "stdout" in error ? String(error.stdout) : "";
    },
  );
  const bytes = Number.parseInt(stdout, 10);
  return Number.isNaN(bytes) ? undefined : bytes;
}
