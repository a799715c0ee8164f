import type { SandboxId } from "@insien/protocol";
import type { MachineUsage } from "@insien/runtime";
import type { MeteredSandbox, NewEvent } from "../db/index.ts";

/** What is high counts as high until it has fallen to this share of the threshold. */
const FALLEN = 0.9;

export interface ThresholdParts {
  /** Of a sandbox's memory limit, from 0 to 1. */
  memoryHigh: number;
  diskHighBytes: number;
  /** When the measuring began: what a sandbox that is older did before is not told again. */
  since: Date;
}

export type SandboxNews = NewEvent & { sandboxId: SandboxId };

interface State {
  /** A machine that is started again counts from the beginning. */
  outOfMemoryKills: number;
  isMemoryHigh: boolean;
  isDiskHigh: boolean;
}

/** Says what is worth an event in a sandbox's stream: each crossing of a threshold once. */
export class Thresholds {
  readonly #parts: ThresholdParts;
  readonly #states = new Map<SandboxId, State>();

  constructor(parts: ThresholdParts) {
    this.#parts = parts;
  }

  measured(sandbox: MeteredSandbox, usage: MachineUsage): SandboxNews[] {
    const state = this.#stateOf(sandbox, usage);
    return [
      ...this.#outOfMemory(sandbox.id, state, usage),
      ...this.#memory(sandbox.id, state, usage),
    ];
  }

  diskMeasured(sandboxId: SandboxId, bytes: number): SandboxNews[] {
    const state = this.#states.get(sandboxId);
    if (state === undefined) return [];
    const { diskHighBytes } = this.#parts;
    const wasHigh = state.isDiskHigh;
    state.isDiskHigh = bytes >= diskHighBytes * (wasHigh ? FALLEN : 1);
    if (wasHigh || !state.isDiskHigh) return [];
    return [{ sandboxId, type: "sandbox.disk_high", data: { bytes, threshold: diskHighBytes } }];
  }

  /** Forgets all but those that still run. */
  keep(running: ReadonlySet<SandboxId>): void {
    for (const id of this.#states.keys()) if (!running.has(id)) this.#states.delete(id);
  }

  #stateOf({ id, startedAt }: MeteredSandbox, usage: MachineUsage): State {
    const known = this.#states.get(id);
    if (known !== undefined) return known;
    const isNew = startedAt !== undefined && startedAt >= this.#parts.since;
    const outOfMemoryKills = isNew ? 0 : usage.outOfMemoryKills;
    const state = { outOfMemoryKills, isMemoryHigh: false, isDiskHigh: false };
    this.#states.set(id, state);
    return state;
  }

  #outOfMemory(sandboxId: SandboxId, state: State, usage: MachineUsage): SandboxNews[] {
    const total = usage.outOfMemoryKills;
    const count = total < state.outOfMemoryKills ? total : total - state.outOfMemoryKills;
    state.outOfMemoryKills = total;
    if (count === 0) return [];
    const data = { count, memory_limit_bytes: usage.memoryLimitBytes };
    return [{ sandboxId, type: "sandbox.out_of_memory", data }];
  }

  #memory(sandboxId: SandboxId, state: State, usage: MachineUsage): SandboxNews[] {
    const { memoryBytes, memoryLimitBytes } = usage;
    if (memoryLimitBytes <= 0) return [];
    const wasHigh = state.isMemoryHigh;
    const threshold = this.#parts.memoryHigh * memoryLimitBytes;
    state.isMemoryHigh = memoryBytes >= threshold * (wasHigh ? FALLEN : 1);
    if (wasHigh || !state.isMemoryHigh) return [];
    const data = { bytes: memoryBytes, memory_limit_bytes: memoryLimitBytes };
    return [{ sandboxId, type: "sandbox.memory_high", data }];
  }
}
