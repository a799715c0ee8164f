import { InsienError, type VolumeConfig, newId, parseMemory } from "@insien/protocol";
import type { VolumeMount } from "@insien/runtime";
import type { EventRows, SandboxRecord, VolumeRecord, VolumeRows } from "../db/index.ts";
import type { Belongings } from "./belongings.ts";
import type { CreateRequest } from "./create-request.ts";
import { mountPathOf, pathInTheWay } from "./mount-paths.ts";
import type { OwnerQuotas } from "./quotas.ts";
import { needVolume } from "./volume-catalog.ts";
import type { VolumeStorage } from "./volume-storage.ts";

export interface SandboxVolumesParts {
  rows: VolumeRows;
  storage: VolumeStorage;
  quotas: OwnerQuotas;
  events: EventRows;
}

/** The volumes that sandboxes are created with, and what becomes of them when their sandbox ends. */
export class SandboxVolumes implements Belongings {
  readonly #parts: SandboxVolumesParts;

  constructor(parts: SandboxVolumesParts) {
    this.#parts = parts;
  }

  /** Refuses what is clear already, before anything is made. */
  async check({ ownerId, volumes }: CreateRequest): Promise<void> {
    const entries = Object.entries(volumes);
    if (entries.length === 0) return;
    const { rows, storage } = this.#parts;
    void storage.store;
    const taken: string[] = [];
    for (const [name, { mount_path: path }] of entries) {
      const mountPath = mountPathOf(path);
      const other = pathInTheWay(mountPath, taken);
      if (other !== undefined) {
        throw new InsienError(
          "invalid_request",
          `volumes.${name}.mount_path: ${mountPath} and ${other} lie within one another: ` +
            "give volumes paths apart",
        );
      }
      taken.push(mountPath);
    }
    for (const [name, { type }] of entries) {
      if (type === "network") storage.assertHere(await needVolume(rows, ownerId, name));
    }
  }

  async prepare(
    row: SandboxRecord,
    request: CreateRequest,
    options: { signal?: AbortSignal },
  ): Promise<{ volumes?: readonly VolumeMount[] } | undefined> {
    const entries = Object.entries(request.volumes);
    if (entries.length === 0) return undefined;
    await this.check(request);
    const volumes: VolumeMount[] = [];
    for (const [name, config] of entries) {
      const { mount_path: path, type = "local", read_only: readOnly = false } = config;
      const mount = { sandboxId: row.id, mountPath: mountPathOf(path), readOnly };
      const { id: volumeId } =
        type === "local"
          ? await this.#makeLocal(row, name, config, { mount, ...options })
          : await this.#mountNetwork(row, name, mount);
      volumes.push({ volumeId, target: mount.mountPath, readOnly });
    }
    await this.#tell(row, entries);
    return { volumes };
  }

  async ended(row: SandboxRecord): Promise<void> {
    const { rows, storage } = this.#parts;
    if (!(await rows.release(row.id, new Date()))) return;
    for (const volume of await rows.removable(storage.nodeId, row.id))
      await storage.removeSoon(volume);
  }

  async #tell(row: SandboxRecord, entries: readonly [string, VolumeConfig][]): Promise<void> {
    const events = entries.flatMap(([volume, { mount_path: path, type = "local", ...config }]) => {
      const data = { volume, mount_path: mountPathOf(path), read_only: config.read_only ?? false };
      const mounted = { sandboxId: row.id, type: "volume.mounted", data };
      const created = { sandboxId: row.id, type: "volume.created", data: { volume } };
      return type === "local" ? [created, mounted] : [mounted];
    });
    await this.#parts.events.appendAll(events);
  }

  async #mountNetwork(
    row: SandboxRecord,
    name: string,
    mount: { sandboxId: SandboxRecord["id"]; mountPath: string; readOnly: boolean },
  ): Promise<VolumeRecord> {
    const { rows, storage } = this.#parts;
    const volume = await needVolume(rows, row.ownerId, name);
    await rows.mount({ ...mount, volumeId: volume.id });
    await storage.ensure(volume);
    return volume;
  }

  async #makeLocal(
    row: SandboxRecord,
    name: string,
    config: VolumeConfig,
    options: {
      mount: { sandboxId: SandboxRecord["id"]; mountPath: string; readOnly: boolean };
      signal?: AbortSignal;
    },
  ): Promise<VolumeRecord> {
    const { rows, storage, quotas } = this.#parts;
    const { mount, ...rest } = options;
    const volume: VolumeRecord = {
      id: newId(),
      ownerId: row.ownerId,
      name,
      type: "local",
      driver: "local",
      sizeBytes: config.size === undefined ? undefined : parseMemory(config.size),
      mountPath: mount.mountPath,
      options: undefined,
      sandboxId: row.id,
      nodeId: storage.nodeId,
      usedBytes: undefined,
      createdAt: new Date(),
      deletedAt: undefined,
    };
    const admit = await quotas.admission(row.ownerId, { disk: volume.sizeBytes ?? 0 });
    await rows.insert(volume, admit, mount);
    await storage.make(volume, rest);
    return volume;
  }
}
