import { InsienError, LIMITS, type MountBody, type SandboxId } from "@insien/protocol";
import type {
  EventRows,
  MountedVolume,
  SandboxRecord,
  SandboxRows,
  VolumeRows,
} from "../db/index.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { mountPathOf, pathInTheWay, pathInVolume } from "./mount-paths.ts";
import type { Principal } from "./principal.ts";
import type { OwnerQuotas } from "./quotas.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";
import { needVolume } from "./volume-catalog.ts";
import type { VolumeStorage } from "./volume-storage.ts";
import type { Mount, MountChange, Mounts } from "./volumes.ts";

export interface VolumeMountsParts {
  store: SandboxRows;
  rows: VolumeRows;
  events: EventRows;
  storage: VolumeStorage;
  quotas: OwnerQuotas;
  lifecycle: Pick<SandboxLifecycle, "recreate">;
}

/** Gives existing sandboxes volumes, and takes them away again. */
export class VolumeMounts implements Mounts {
  readonly #parts: VolumeMountsParts;
  /** What is mounted is looked at, changed and carried out before the next change looks. */
  readonly #turns = new KeyedMutex<SandboxId>();

  constructor(parts: VolumeMountsParts) {
    this.#parts = parts;
  }

  async list(principal: Principal, id: SandboxId): Promise<Mount[]> {
    await this.#owned(principal, id);
    return (await this.#parts.rows.ofSandbox(id)).map(mountOf);
  }

  async pathIn(
    principal: Principal,
    id: SandboxId,
    nameOrId: string,
    path: string,
  ): Promise<{ path: string; root: string }> {
    await this.#owned(principal, id);
    const { mountPath } = findMount(await this.#parts.rows.ofSandbox(id), id, nameOrId);
    return { path: pathInVolume(mountPath, path), root: mountPath };
  }

  mount(principal: Principal, id: SandboxId, body: MountBody): Promise<MountChange> {
    return this.#turns.run(id, async () => {
      const { rows, storage } = this.#parts;
      const sandbox = await this.#changeable(principal, id);
      const volume = await needVolume(rows, principal.ownerId, body.volume);
      storage.assertHere(volume);
      const path = body.mount_path ?? volume.mountPath;
      if (path === undefined) {
        throw new InsienError(
          "invalid_request",
          `mount_path: is missing, and volume ${volume.name} has no path of its own`,
        );
      }
      const readOnly = body.read_only ?? false;
      const added = { volume, mountPath: mountPathOf(path), readOnly };
      const mounts = await rows.ofSandbox(id);
      const mounted = { type: "volume.mounted", mounted: added } as const;
      // A crash may have come after the note and left the sandbox stopped: asked again, it is done.
      if (sandbox.state === "stopped" && mounts.some((mount) => isSame(mount, added)))
        return this.#carryOut(id, mounted);
      assertFree(mounts, added, id);
      await this.#assertMayStart(sandbox);
      await storage.ensure(volume);
      // Noted before it is done: from here on the volume cannot be deleted.
      await rows.mount({
        sandboxId: id,
        volumeId: volume.id,
        mountPath: added.mountPath,
        readOnly,
      });
      const undo = () => rows.unmount(id, volume.id);
      return this.#carryOut(id, { ...mounted, undo });
    });
  }

  unmount(principal: Principal, id: SandboxId, nameOrId: string): Promise<MountChange> {
    return this.#turns.run(id, async () => {
      const { rows } = this.#parts;
      const sandbox = await this.#changeable(principal, id);
      const mounted = findMount(await rows.ofSandbox(id), id, nameOrId);
      const { volume, mountPath, readOnly } = mounted;
      if (volume.type === "local") {
        throw new InsienError(
          "conflict",
          `Volume ${volume.name} is part of sandbox ${id} and is removed with it`,
        );
      }
      await this.#assertMayStart(sandbox);
      // Noted once it is done: until then the volume cannot be deleted.
      const done = () => rows.unmount(id, volume.id);
      const gone = { volume, mountPath, readOnly };
      return this.#carryOut(id, { type: "volume.unmounted", mounted: gone, done });
    });
  }

  async #carryOut(
    id: SandboxId,
    change: {
      type: "volume.mounted" | "volume.unmounted";
      mounted: MountedVolume;
      done?: () => Promise<unknown>;
      undo?: () => Promise<unknown>;
    },
  ): Promise<MountChange> {
    const { rows, lifecycle, storage, events } = this.#parts;
    const { type, mounted } = change;
    const { name, id: volumeId } = mounted.volume;
    const remount = async ({ machineId }: SandboxRecord) => {
      const all = await rows.ofSandbox(id);
      const wanted =
        type === "volume.mounted" ? all : all.filter(({ volume }) => volume.id !== volumeId);
      if (machineId !== undefined) await storage.store.remount(machineId, wanted.map(asPart));
      await change.done?.();
    };
    const { restarted } = await lifecycle.recreate(id, remount).catch(async (error: unknown) => {
      await change.undo?.();
      throw error;
    });
    const { mountPath, readOnly } = mounted;
    const data = { volume: name, mount_path: mountPath, read_only: readOnly, restarted };
    await events.append(id, { type, data });
    const mounts = (await rows.ofSandbox(id)).map(mountOf);
    return { mounts, restarted, note: noteOf(type, mounted, restarted) };
  }

  /** A restart ends with a start, which a quota may refuse: better before anything was stopped. */
  async #assertMayStart({ ownerId, state }: SandboxRecord): Promise<void> {
    const nothingMore = { cpu: 0, memory: 0, disk: 0 };
    if (state === "running") await this.#parts.quotas.assertRoom(ownerId, nothingMore);
  }

  async #changeable(principal: Principal, id: SandboxId): Promise<SandboxRecord> {
    const row = await this.#owned(principal, id);
    if (row.state === "running" || row.state === "stopped") return row;
    throw new InsienError(
      "sandbox_state",
      `Sandbox ${id} is ${row.state}: volumes are mounted while it runs or is stopped`,
    );
  }

  async #owned(principal: Principal, id: SandboxId): Promise<SandboxRecord> {
    const row = await this.#parts.store.get(id);
    if (row?.ownerId === principal.ownerId && row.state !== "destroyed") return row;
    throw new InsienError("sandbox_not_found", `There is no sandbox ${id}`);
  }
}

function findMount(
  mounts: readonly MountedVolume[],
  id: SandboxId,
  nameOrId: string,
): MountedVolume {
  const found =
    mounts.find(({ volume }) => volume.id === nameOrId) ??
    mounts.find(({ volume }) => volume.name === nameOrId);
  if (found !== undefined) return found;
  throw new InsienError("volume_not_found", `Sandbox ${id} mounts no volume ${nameOrId}`);
}

function assertFree(
  mounts: readonly MountedVolume[],
  { volume, mountPath }: MountedVolume,
  id: SandboxId,
): void {
  const most = LIMITS.volumesPerSandbox.value;
  if (mounts.length >= most)
    throw new InsienError("limit_reached", `Sandbox ${id} has ${most} volumes, as many as one may`);
  const same = mounts.find((mounted) => mounted.volume.id === volume.id);
  if (same !== undefined) {
    const where = `Volume ${volume.name} is mounted in sandbox ${id} already, at ${same.mountPath}`;
    throw new InsienError("conflict", where);
  }
  // Volumes are also addressed by their names among those of one sandbox.
  if (mounts.some((mounted) => mounted.volume.name === volume.name))
    throw new InsienError("conflict", `Sandbox ${id} has a volume of its own named ${volume.name}`);
  const other = pathInTheWay(
    mountPath,
    mounts.map((mounted) => mounted.mountPath),
  );
  if (other !== undefined) {
    const message = `${mountPath} cannot be mounted in sandbox ${id}: a volume is at ${other}`;
    throw new InsienError("conflict", message);
  }
}

const isSame = (one: MountedVolume, other: MountedVolume): boolean =>
  one.volume.id === other.volume.id &&
  one.mountPath === other.mountPath &&
  one.readOnly === other.readOnly;

const asPart = ({ volume, mountPath, readOnly }: MountedVolume) => ({
  volumeId: volume.id,
  target: mountPath,
  readOnly,
});

const mountOf = ({ volume, mountPath, readOnly }: MountedVolume): Mount => ({
  volumeId: volume.id,
  name: volume.name,
  type: volume.type,
  mountPath,
  readOnly,
});

function noteOf(
  type: "volume.mounted" | "volume.unmounted",
  { volume, mountPath }: MountedVolume,
  restarted: boolean,
): string {
  const what =
    type === "volume.mounted"
      ? `${volume.name} is mounted at ${mountPath}`
      : `${volume.name} is no longer mounted; its files stay in the volume`;
  return restarted
    ? `${what}. The machine was started anew for it: its files are kept, what ran in it was ended.`
    : `${what}. The sandbox is stopped; it finds this when it is started.`;
}
