import { InsienError, type MachineId } from "@insien/protocol";
import type { StoredVolume, VolumeMount, VolumeSpec, VolumeStore } from "./facets.ts";

export interface FakeVolume extends StoredVolume {
  ownerId: string;
  spec: VolumeSpec;
}

/** What a fake host tells its volumes of the machines on it. */
export interface FakeMounts {
  volumes: Map<string, FakeVolume>;
  /** Of every machine on the host. */
  mounted(): Iterable<readonly VolumeMount[]>;
  /** Gives a machine its volumes; `true` when that ended what ran in it. */
  remount(machineId: MachineId, mounts: readonly VolumeMount[]): Promise<boolean>;
}

/** Volumes of imaginary machines. */
export class FakeVolumeStore implements VolumeStore {
  readonly #ownerId: string;
  readonly #host: FakeMounts;
  readonly #failures: InsienError[] = [];

  constructor(ownerId: string, host: FakeMounts) {
    this.#ownerId = ownerId;
    this.#host = host;
  }

  /** Makes the next create, destroy or remount throw this, and the one after it, and so on. */
  failNext(...errors: InsienError[]): void {
    this.#failures.push(...errors);
  }

  async create(spec: VolumeSpec): Promise<void> {
    this.#failIfTold();
    if (this.#find(spec.volumeId) !== undefined) return;
    const { volumeId, driver } = spec;
    const volume = { volumeId, driver, createdAt: new Date(), ownerId: this.#ownerId, spec };
    this.#host.volumes.set(volumeId, volume);
  }

  async destroy(volumeId: string): Promise<boolean> {
    this.#failIfTold();
    if (this.#find(volumeId) === undefined) return false;
    for (const mounts of this.#host.mounted()) {
      if (mounts.some((mount) => mount.volumeId === volumeId))
        throw new InsienError("volume_in_use", `a machine mounts volume ${volumeId}`);
    }
    return this.#host.volumes.delete(volumeId);
  }

  async list(): Promise<StoredVolume[]> {
    const own = [...this.#host.volumes.values()].filter(({ ownerId }) => ownerId === this.#ownerId);
    return own.map(({ volumeId, driver, createdAt }) => ({ volumeId, driver, createdAt }));
  }

  async sizes(volumeIds: readonly string[]): Promise<Map<string, number>> {
    const own = volumeIds.filter((volumeId) => this.#find(volumeId) !== undefined);
    return new Map(own.map((volumeId) => [volumeId, 0]));
  }

  async remount(
    machineId: MachineId,
    mounts: readonly VolumeMount[],
  ): Promise<{ restarted: boolean }> {
    this.#failIfTold();
    const missing = mounts.find(({ volumeId }) => this.#find(volumeId) === undefined);
    if (missing !== undefined)
      throw new InsienError("volume_not_found", `there is no volume ${missing.volumeId}`);
    return { restarted: await this.#host.remount(machineId, mounts) };
  }

  #find(volumeId: string): FakeVolume | undefined {
    const found = this.#host.volumes.get(volumeId);
    return found?.ownerId === this.#ownerId ? found : undefined;
  }

  #failIfTold(): void {
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
  }
}
