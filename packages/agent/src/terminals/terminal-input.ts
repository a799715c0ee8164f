import { ERRNO, type Libc } from "../native/libc.ts";

/** Nothing tells us when a terminal takes input again but trying; a person's keys never wait. */
const RETRY_MS = 5;

interface Pending {
  bytes: Uint8Array;
  taken: () => void;
}

/**
 * What is typed, on its way into a terminal. Node's own stream writes to terminals in a way that
 * stands still, and the whole agent with it, while the program there does not read.
 */
export class TerminalInput implements Disposable {
  readonly #libc: Libc;
  readonly #master: number;
  #queue: Pending[] = [];
  #pendingBytes = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  /** `master` must have been opened non-blocking. */
  constructor(libc: Libc, master: number) {
    this.#libc = libc;
    this.#master = master;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Resolves when the kernel took the bytes, or when the terminal ended meanwhile. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#closed || bytes.byteLength === 0) return Promise.resolve();
    return new Promise((taken) => {
      // The bytes lie in memory that their sender uses again.
      this.#queue.push({ bytes: Uint8Array.from(bytes), taken });
      this.#pendingBytes += bytes.byteLength;
      if (this.#retry === undefined) this.#flush();
    });
  }

  /** To be called before the descriptor closes. */
  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    for (const { taken } of this.#queue.splice(0)) taken();
    this.#pendingBytes = 0;
  }

  #flush(): void {
    this.#retry = undefined;
    for (let first = this.#queue[0]; first !== undefined; first = this.#queue[0]) {
      const count = this.#libc.write(this.#master, first.bytes);
      if (count < 0) return this.#refused();
      this.#pendingBytes -= count;
      first.bytes = first.bytes.subarray(count);
      if (first.bytes.byteLength === 0) this.#queue.shift()?.taken();
    }
  }

  #refused(): void {
    if (this.#libc.errno() === ERRNO.EAGAIN)
      this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
    else this[Symbol.dispose]();
  }
}
