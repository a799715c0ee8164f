import type { Libc } from "../native/libc.ts";

/** Somebody else's wait for a child of theirs is given this long before we look again. */
const FOREIGN_MS = 20;

/**
 * Reaps. Commands report their end to whoever watches their pid; children that nobody watches are
 * orphans that process 1 has inherited, and are only taken off the kernel's table.
 */
export class Children implements Disposable {
  readonly #libc: Libc;
  readonly #watched = new Map<number, (status: number) => void>();
  readonly #foreign = new Set<number>();
  readonly #onSignal = (): void => this.reap();

  constructor(libc: Libc) {
    this.#libc = libc;
    process.on("SIGCHLD", this.#onSignal);
  }

  [Symbol.dispose](): void {
    process.off("SIGCHLD", this.#onSignal);
  }

  /** To be called in the same turn as the child was started. */
  watch(pid: number, onEnd: (status: number) => void): void {
    this.#watched.set(pid, onEnd);
  }

  /** A child that other code waits for, such as a terminal's shell. */
  leaveToOthers(pid: number): void {
    this.#foreign.add(pid);
  }

  reap(): void {
    for (;;) {
      const pid = this.#libc.endedChild();
      if (pid === undefined) return;
      if (this.#foreign.delete(pid)) {
        setTimeout(() => this.reap(), FOREIGN_MS);
        return;
      }
      const status = this.#libc.reap(pid);
      if (status === undefined) return;
      const onEnd = this.#watched.get(pid);
      this.#watched.delete(pid);
      onEnd?.(status);
    }
  }
}
