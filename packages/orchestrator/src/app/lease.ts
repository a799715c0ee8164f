import { LIMITS } from "@insien/protocol";
import type { Logger } from "pino";
import type { LeaseRows } from "../db/index.ts";

const RENEWALS = 3;

export interface LeaseParts {
  rows: LeaseRows;
  /** What it is for; one at a time holds the lease of a name. */
  name: string;
  /** Of this process; no other's. */
  holder: string;
  log: Logger;
  /** LIMITS.leaseMs by default. */
  durationMs?: number;
}

/**
 * Stands by for a lease until it is this process's, and keeps it from then on. A holder that was cut
 * off from the database counts itself out before anyone else gets in: its own clock began to run
 * before the database's did.
 */
export class Lease implements AsyncDisposable {
  readonly #parts: LeaseParts;
  readonly #durationMs: number;
  readonly #timer: NodeJS.Timeout;
  #heldUntil = 0;
  #wasHeld = false;
  #asking: Promise<void> | undefined;
  #onAcquired: (() => void) | undefined;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#durationMs = parts.durationMs ?? LIMITS.leaseMs.value;
    this.#timer = setInterval(() => this.#ask(), this.#durationMs / RENEWALS);
    this.#ask();
  }

  get isHeld(): boolean {
    return performance.now() < this.#heldUntil;
  }

  /** Called each time that it becomes this process's. */
  whenAcquired(listener: () => void): void {
    this.#onAcquired = listener;
    if (this.isHeld) listener();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#onAcquired = undefined;
    await this.#asking;
    this.#heldUntil = 0;
    const { rows, name, holder, log } = this.#parts;
    if (!this.#wasHeld) return;
    await rows.release(name, holder).catch((error: unknown) => {
      log.warn({ err: error, lease: name }, "a lease was not given back; it ends by itself");
    });
  }

  #ask(): void {
    this.#asking ??= this.#acquire().finally(() => {
      this.#asking = undefined;
    });
  }

  async #acquire(): Promise<void> {
    const { rows, name, holder, log } = this.#parts;
    const askedAt = performance.now();
    try {
      const isHeld = await rows.acquire(name, holder, this.#durationMs);
      this.#heldUntil = isHeld ? askedAt + this.#durationMs : 0;
    } catch (error) {
      log.warn({ err: error, lease: name }, "a lease could not be asked for; trying again");
    }
    this.#say();
  }

  #say(): void {
    const { name, holder, log } = this.#parts;
    if (this.isHeld === this.#wasHeld) return;
    this.#wasHeld = this.isHeld;
    if (!this.isHeld) {
      log.warn({ lease: name, holder }, "the lease is another process's now");
      return;
    }
    log.info({ lease: name, holder }, "this process holds the lease");
    this.#onAcquired?.();
  }
}
