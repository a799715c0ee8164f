import { statfs } from "node:fs/promises";
import { LIMITS, type MachineId, type SandboxId } from "@insien/protocol";
import type { Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { EventRows, MeteredSandbox, UsageRows } from "../db/index.ts";
import type { Thresholds } from "./thresholds.ts";

export interface DiskRoundParts {
  runtime: Runtime;
  usage: UsageRows;
  events: EventRows;
  thresholds: Thresholds;
  nodeId: string;
  dataDirectory: string;
  log: Logger;
}

/** Measures what files take: of sandboxes, of volumes, and what is left on the host. */
export class DiskRound {
  readonly #parts: DiskRoundParts;
  /** As last measured. */
  #sizes = new Map<SandboxId, number>();
  #isHostFull = false;

  constructor(parts: DiskRoundParts) {
    this.#parts = parts;
  }

  sizeOf(id: SandboxId): number | undefined {
    return this.#sizes.get(id);
  }

  async run(sandboxes: readonly MeteredSandbox[], signal: AbortSignal): Promise<void> {
    await this.#host();
    await this.#sandboxes(sandboxes, signal);
    await this.#volumes(signal);
  }

  async #sandboxes(sandboxes: readonly MeteredSandbox[], signal: AbortSignal): Promise<void> {
    const { runtime, usage, events, thresholds } = this.#parts;
    const ids = new Map<MachineId, SandboxId>(
      sandboxes.map(({ machineId, id }) => [machineId, id]),
    );
    const measured = (await runtime.meter?.diskSizes([...ids.keys()], { signal })) ?? new Map();
    const sizes = new Map<SandboxId, number>();
    for (const [machineId, bytes] of measured) {
      const id = ids.get(machineId);
      if (id !== undefined) sizes.set(id, bytes);
    }
    this.#sizes = sizes;
    await usage.setDiskSizes(sizes);
    await events.appendAll([...sizes].flatMap(([id, bytes]) => thresholds.diskMeasured(id, bytes)));
  }

  async #volumes(signal: AbortSignal): Promise<void> {
    const { runtime, usage, nodeId } = this.#parts;
    if (runtime.volumes === undefined) return;
    const ids = await usage.volumesOf(nodeId);
    if (ids.length > 0) await usage.setVolumeSizes(await runtime.volumes.sizes(ids, { signal }));
  }

  /** A host whose disk is full fails every sandbox on it, so its administrator learns it before. */
  async #host(): Promise<void> {
    const { dataDirectory, log } = this.#parts;
    const { bavail, blocks, bsize } = await statfs(dataDirectory);
    const freePercent = (100 * bavail) / Math.max(1, blocks);
    const isFull = freePercent < LIMITS.hostDiskFreePercent.value;
    if (isFull && !this.#isHostFull) {
      const freeBytes = bavail * bsize;
      log.warn({ dataDirectory, freeBytes, freePercent }, "the host's disk is nearly full");
    }
    this.#isHostFull = isFull;
  }
}
