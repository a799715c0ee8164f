import type { Row } from "./benchmark.ts";
import { memory } from "./host.ts";

const MEMORY_GROWTH_MIB_MAX = 64;

/** The orchestrator's memory, watched while samples are taken. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #growthsMiB: number[] = [];

  constructor(pid: number) {
    this.#pid = pid;
  }

  /** Notes the highest resident memory during `action`, above what there was before. */
  async during(action: () => Promise<unknown>): Promise<void> {
    const before = memory.residentMiB(this.#pid);
    memory.forgetPeak(this.#pid);
    await action();
    this.#growthsMiB.push(Math.max(0, memory.peakMiB(this.#pid) - before));
  }

  row(what: string): Row {
    const most = Math.max(...this.#growthsMiB);
    return {
      what: `${what}: orchestrator's memory grows at most by`,
      unit: "MiB",
      value: most,
      mustReach: `${MEMORY_GROWTH_MIB_MAX} MiB`,
      reached: most < MEMORY_GROWTH_MIB_MAX,
      samples: this.#growthsMiB.length,
    };
  }
}
