import { readFileSync } from "node:fs";
import type { Libc } from "./native/libc.ts";

/** Long enough that a busy sandbox never pays for tidying between two commands. */
const IDLE_MS = 1000;

/**
 * Gives memory back once nothing has happened for a while: a sandbox waits far longer than it works,
 * and hundreds of them share a host. Collects garbage, returns free heap pages, and lets go of the
 * program text of the start, which the kernel keeps for all agents and maps again when needed.
 */
export class IdleMemory {
  readonly #libc: Libc;
  readonly #collect = globalThis.gc;
  #timer: NodeJS.Timeout;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#timer = setTimeout(() => this.#tidy(), IDLE_MS);
    this.#timer.unref();
  }

  /** Something happened. */
  touch(): void {
    this.#timer.refresh();
  }

  #tidy(): void {
    this.#collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
    this.#libc.trimHeap();
    for (const [start, end] of textOfProgram()) this.#libc.letGo(start, end - start);
  }
}

/** Address ranges of the program's own code: read-only and never written, so nothing can be lost. */
function* textOfProgram(): Generator<[bigint, bigint]> {
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d*\s/.exec(line);
    if (match !== null) yield [BigInt(`0x${match[1]}`), BigInt(`0x${match[2]}`)];
  }
}
