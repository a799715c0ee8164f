import { LIMITS } from "@insien/protocol";
import type { Logger } from "pino";
import type { LeaseRows } from "../db/index.ts";
import { Lease } from "./lease.ts";

export interface DutyParts {
  /** Of the lease too: `monitor:<node>`. */
  name: string;
  /** Of this process. */
  holder: string;
  /** `undefined` where no other process can do the same, as on the embedded database. */
  leases: LeaseRows | undefined;
  everyMs: number;
  /** One round; its signal is aborted when the duty ends or is another process's. */
  round: (signal: AbortSignal) => Promise<void>;
  log: Logger;
  /** LIMITS.leaseMs by default. */
  leaseMs?: number;
}

/**
 * Work in rounds that one process at a time does, of all that could; the others stand by. Rounds
 * never overlap: one that takes too long costs the next ones, and says so.
 */
export class Duty implements AsyncDisposable {
  readonly #parts: DutyParts;
  readonly #lease: Lease | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #watch: NodeJS.Timeout;
  #running: { ended: Promise<void>; stop: AbortController } | undefined;
  #skipped = 0;
  #isOver = false;

  constructor(parts: DutyParts) {
    this.#parts = parts;
    const { leases: rows, name, holder, log, leaseMs: durationMs } = parts;
    this.#timer = setInterval(() => this.#begin(), parts.everyMs);
    this.#watch = setInterval(() => this.#stopWithoutLease(), LIMITS.leaseMs.value / 6);
    if (rows === undefined) {
      queueMicrotask(() => this.#begin());
      return;
    }
    const bound = durationMs === undefined ? {} : { durationMs };
    this.#lease = new Lease({ rows, name, holder, log, ...bound });
    this.#lease.whenAcquired(() => this.#begin());
  }

  /** Whether it is this process that does the work. */
  get isOurs(): boolean {
    return !this.#isOver && this.#lease?.isHeld !== false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#timer);
    clearInterval(this.#watch);
    this.#running?.stop.abort();
    await this.#running?.ended;
    await this.#lease?.[Symbol.asyncDispose]();
  }

  #begin(): void {
    if (!this.isOurs) return;
    if (this.#running !== undefined) {
      this.#skipped += 1;
      return;
    }
    if (this.#skipped > 0) {
      const { name, log } = this.#parts;
      log.warn(
        { duty: name, skipped: this.#skipped },
        "a round took so long that others were left out",
      );
      this.#skipped = 0;
    }
    const stop = new AbortController();
    const ended = this.#round(stop.signal).finally(() => {
      this.#running = undefined;
    });
    this.#running = { ended, stop };
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { name, round, log } = this.#parts;
    try {
      await round(signal);
    } catch (error) {
      if (!signal.aborted)
        log.warn({ err: error, duty: name }, "a round failed; the next one tries again");
    }
  }

  #stopWithoutLease(): void {
    if (!this.isOurs) this.#running?.stop.abort();
  }
}
