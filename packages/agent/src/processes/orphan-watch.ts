import { LIMITS } from "@insien/protocol";
import type { RunningProcess } from "./running-process.ts";

/** Ends commands that were not started in the background and that nobody has read for a while. */
export class OrphanWatch {
  readonly #holders = new WeakMap<RunningProcess, number>();

  /** Somebody reads; the function given back says that they left. */
  hold(process: RunningProcess): () => void {
    if (process.options.background) return () => undefined;
    this.#holders.set(process, this.#count(process) + 1);
    return () => {
      this.#holders.set(process, this.#count(process) - 1);
      if (this.#count(process) > 0 || process.end !== undefined) return;
      const timer = setTimeout(() => {
        if (this.#count(process) === 0) process.terminate();
      }, LIMITS.orphanedCommandMs.value);
      process.whenEnded(() => clearTimeout(timer));
    };
  }

  #count(process: RunningProcess): number {
    return this.#holders.get(process) ?? 0;
  }
}
