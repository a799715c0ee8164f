import { InsienError } from "@insien/protocol";
import type { Runtime, StoredVolume, VolumeSpec, VolumeStore } from "@insien/runtime";
import type { Logger } from "pino";
import type { VolumeRecord, VolumeRows } from "../db/index.ts";
import { shownNode } from "./node-directory.ts";

/** The storage behind this node's volumes: a row says that there should be some, or no more. */
export class VolumeStorage {
  readonly nodeId: string;
  readonly #rows: VolumeRows;
  readonly #store: VolumeStore | undefined;
  readonly #runtime: string;
  readonly #log: Logger;

  constructor(parts: { rows: VolumeRows; runtime: Runtime; nodeId: string; log: Logger }) {
    this.nodeId = parts.nodeId;
    this.#rows = parts.rows;
    this.#store = parts.runtime.volumes;
    this.#runtime = parts.runtime.name;
    this.#log = parts.log;
  }

  /** Throws `capability_missing` where the runtime has no volumes. */
  get store(): VolumeStore {
    if (this.#store !== undefined) return this.#store;
    throw new InsienError("capability_missing", `The runtime '${this.#runtime}' has no volumes`);
  }

  /** Makes the storage of a new volume; without it the volume is forgotten again. */
  async make(volume: VolumeRecord, options: { signal?: AbortSignal } = {}): Promise<void> {
    try {
      await this.store.create(specOf(volume), options);
    } catch (error) {
      await this.#rows.discard(volume.id, new Date());
      await this.removeSoon(volume);
      throw error;
    }
  }

  /** Makes what a crash kept from being made, and an nfs volume's name on this host. */
  async ensure(volume: VolumeRecord): Promise<void> {
    const stored = await this.store.list();
    if (!stored.some(({ volumeId }) => volumeId === volume.id))
      await this.store.create(specOf(volume));
  }

  /** Throws unless machines of this node can mount it. */
  assertHere({ name, nodeId }: VolumeRecord): void {
    if (nodeId === undefined || nodeId === this.nodeId) return;
    const [there, here] = [shownNode(nodeId), shownNode(this.nodeId)];
    throw new InsienError(
      "volume_unsupported",
      `Volume ${name} is stored on node ${there}, and this sandbox is on node ${here}: ` +
        "create the sandbox on that node, or use a volume with driver nfs",
      { details: { node: there } },
    );
  }

  /** Removes a deleted volume's storage and row; what does not succeed now is done by `settle`. */
  async removeSoon(volume: VolumeRecord): Promise<void> {
    if (this.#store === undefined) return;
    if (volume.nodeId !== undefined && volume.nodeId !== this.nodeId) return;
    try {
      await this.#store.destroy(volume.id);
      await this.#rows.remove(volume.id);
    } catch (error) {
      this.#log.info({ err: error, volumeId: volume.id }, "a volume's storage is removed later");
    }
  }

  /** Finishes what a crash, another node or a busy machine kept from being removed. */
  async settle(): Promise<void> {
    for (const volume of await this.#rows.removable(this.nodeId)) await this.removeSoon(volume);
  }

  /** Storage of this installation on this host for which there is no volume. */
  async orphans(): Promise<StoredVolume[]> {
    if (this.#store === undefined) return [];
    // Storage first: what is made meanwhile has a row by the time rows are read.
    const stored = await this.#store.list();
    const known = await this.#rows.known(stored.map(({ volumeId }) => volumeId));
    return stored.filter(({ volumeId }) => !known.has(volumeId));
  }

  /** `false` when it is gone, is in use, or is no orphan by now. */
  async removeOrphan(volumeId: string): Promise<boolean> {
    const known = await this.#rows.known([volumeId]);
    if (known.has(volumeId)) return false;
    return this.store.destroy(volumeId).catch((error: unknown) => {
      if (error instanceof InsienError && error.code === "volume_in_use") return false;
      throw error;
    });
  }
}

const specOf = ({ id, driver, sizeBytes, options }: VolumeRecord): VolumeSpec => ({
  volumeId: id,
  driver,
  ...(sizeBytes === undefined ? {} : { sizeBytes }),
  ...(options === undefined ? {} : { nfs: options }),
});
