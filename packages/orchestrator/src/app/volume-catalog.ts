import { type CreateVolumeBody, InsienError, newId, parseMemory } from "@insien/protocol";
import type { VolumeRecord, VolumeRows } from "../db/index.ts";
import { mountPathOf } from "./mount-paths.ts";
import type { Principal } from "./principal.ts";
import type { OwnerQuotas } from "./quotas.ts";
import type { VolumeStorage } from "./volume-storage.ts";
import type { Volume, Volumes } from "./volumes.ts";

export interface VolumeCatalogParts {
  rows: VolumeRows;
  storage: VolumeStorage;
  quotas: OwnerQuotas;
  /** Servers that every owner may mount from; administrators may name any. */
  nfsServers: readonly string[];
}

/** The network volumes of owners. */
export class VolumeCatalog implements Volumes {
  readonly #rows: VolumeRows;
  readonly #storage: VolumeStorage;
  readonly #quotas: OwnerQuotas;
  readonly #nfsServers: ReadonlySet<string>;

  constructor(parts: VolumeCatalogParts) {
    this.#rows = parts.rows;
    this.#storage = parts.storage;
    this.#quotas = parts.quotas;
    this.#nfsServers = new Set(parts.nfsServers);
  }

  async create(principal: Principal, body: CreateVolumeBody): Promise<Volume> {
    this.#assertServer(principal, body.options?.server);
    const volume = this.#newRecord(principal.ownerId, body);
    const admit = await this.#quotas.admission(principal.ownerId, { disk: volume.sizeBytes ?? 0 });
    void this.#storage.store;
    // The row first: storage without one would be nobody's.
    await this.#rows.insert(volume, admit);
    await this.#storage.make(volume);
    return { ...volume, mounts: [] };
  }

  async list(principal: Principal): Promise<Volume[]> {
    return this.#withMounts(await this.#rows.list(principal.ownerId));
  }

  async get(principal: Principal, nameOrId: string): Promise<Volume> {
    const found = await needVolume(this.#rows, principal.ownerId, nameOrId);
    const [volume] = await this.#withMounts([found]);
    return volume ?? { ...found, mounts: [] };
  }

  async delete(principal: Principal, nameOrId: string): Promise<void> {
    const volume = await needVolume(this.#rows, principal.ownerId, nameOrId);
    const users = await this.#rows.markDeleted(volume.id, new Date());
    if (users.length > 0) {
      throw new InsienError(
        "volume_in_use",
        `Volume ${volume.name} is mounted by ${users.length === 1 ? "sandbox" : "sandboxes"} ` +
          users.join(", "),
        { details: { sandboxes: users } },
      );
    }
    await this.#storage.removeSoon(volume);
  }

  #newRecord(ownerId: string, body: CreateVolumeBody): VolumeRecord {
    const { name, driver = "local", size, mount_path: mountPath, options } = body;
    return {
      id: newId(),
      ownerId,
      name,
      type: "network",
      driver,
      sizeBytes: size === undefined ? undefined : parseMemory(size),
      mountPath: mountPath === undefined ? undefined : mountPathOf(mountPath),
      options:
        options === undefined
          ? undefined
          : {
              server: options.server,
              path: options.path,
              ...(options.mount_options === undefined
                ? {}
                : { mountOptions: options.mount_options }),
            },
      sandboxId: undefined,
      nodeId: driver === "nfs" ? undefined : this.#storage.nodeId,
      usedBytes: undefined,
      createdAt: new Date(),
      deletedAt: undefined,
    };
  }

  /** It is the host that mounts, with the host's address and rights. */
  #assertServer(principal: Principal, server: string | undefined): void {
    if (server === undefined || principal.admin || this.#nfsServers.has(server)) return;
    throw new InsienError(
      "forbidden",
      `Volumes of the nfs server ${server} may be made by administrators only: ` +
        "let one add it to INSIEN_NFS_SERVERS",
    );
  }

  async #withMounts(records: readonly VolumeRecord[]): Promise<Volume[]> {
    const mounts = await this.#rows.mountsOf(records.map(({ id }) => id));
    const byVolume = Map.groupBy(mounts, ({ volumeId }) => volumeId);
    return records.map((record) => ({ ...record, mounts: byVolume.get(record.id) ?? [] }));
  }
}

/** A network volume of the owner's. */
export async function needVolume(
  rows: VolumeRows,
  ownerId: string,
  nameOrId: string,
): Promise<VolumeRecord> {
  const volume = await rows.find(ownerId, nameOrId);
  if (volume !== undefined) return volume;
  throw new InsienError("volume_not_found", `There is no network volume ${nameOrId}`);
}
