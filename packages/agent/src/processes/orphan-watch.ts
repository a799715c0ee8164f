import { LIMITS } from "@insien/protocol";
import type { RunningProcess } from "./running-process.ts";

interface Followed {
  readers: number;
  /** Runs while nobody reads. */
  timer: NodeJS.Timeout | undefined;
}

/** Ends commands that were not started in the background and that nobody has read for a while. */
export class OrphanWatch {
  readonly #followed = new WeakMap<RunningProcess, Followed>();

  /** Somebody reads; the function given back says that they left. */
  hold(process: RunningProcess): () => void {
    if (process.options.background) return () => undefined;
    const followed = this.#of(process);
    followed.readers += 1;
    // Each absence is counted for itself: whoever came back in time starts the clock anew.
    clearTimeout(followed.timer);
    return () => {
      followed.readers -= 1;
      if (followed.readers > 0 || process.end !== undefined) return;
      followed.timer = setTimeout(() => process.terminate(), LIMITS.orphanedCommandMs.value);
    };
  }

  #of(process: RunningProcess): Followed {
    const existing = this.#followed.get(process);
    if (existing !== undefined) return existing;
    const followed: Followed = { readers: 0, timer: undefined };
    this.#followed.set(process, followed);
    process.whenEnded(() => clearTimeout(followed.timer));
    return followed;
  }
}
