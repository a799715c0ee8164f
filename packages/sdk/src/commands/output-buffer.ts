/**
 * Holds a command's output between its arrival and whoever iterates over it. While the buffer is
 * full the command is held up. Output of a stream that nobody reads, beside one that somebody does,
 * is kept only up to the bound: its oldest bytes make room and are reported as a gap.
 */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { OutputGap, OutputName } from "./command-result.ts";

export interface OutputChunk {
  stream: OutputName;
  bytes: Uint8Array;
}

interface Held extends OutputChunk {
  sequence: number;
}

const NAMES: readonly OutputName[] = ["stdout", "stderr"];

export class OutputBuffer {
  readonly #queues: Record<OutputName, Held[]> = { stdout: [], stderr: [] };
  readonly #bytes: Record<OutputName, number> = { stdout: 0, stderr: 0 };
  readonly #claimed: Record<OutputName, boolean> = { stdout: false, stderr: false };
  /** Offset in its stream of the oldest byte held. */
  readonly #offset: Record<OutputName, number>;
  readonly #limitBytes: number;
  readonly #onGap: (gap: OutputGap) => void;
  #sequence = 0;
  #ended = false;
  #error: Error | undefined;
  #wakeReaders: (() => void)[] = [];
  #wakeWriter: (() => void) | undefined;

  constructor(options: {
    onGap: (gap: OutputGap) => void;
    offsets?: Partial<Record<OutputName, number | undefined>>;
    limitBytes?: number;
  }) {
    this.#onGap = options.onGap;
    this.#offset = { stdout: options.offsets?.stdout ?? 0, stderr: options.offsets?.stderr ?? 0 };
    this.#limitBytes = options.limitBytes ?? LIMITS.sendBufferBytes.value;
  }

  /** Whether somebody reads this stream already. */
  isClaimed(name: OutputName): boolean {
    return this.#claimed[name];
  }

  /** A promise asks to wait before the next piece. */
  push(stream: OutputName, bytes: Uint8Array): void | Promise<void> {
    this.#queues[stream].push({ stream, bytes, sequence: this.#sequence++ });
    this.#bytes[stream] += bytes.byteLength;
    this.#wake();
    this.#trim();
    if (!this.#full()) return undefined;
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  /** Bytes of the stream that never arrived. */
  skip(gap: OutputGap): void {
    this.#offset[gap.stream] += gap.to - gap.from;
    this.#onGap(gap);
  }

  /** No more will come; iterations end after what is held, with the error if there is one. */
  end(error?: Error): void {
    this.#ended = true;
    this.#error = error;
    this.#wake();
    this.#releaseWriter();
  }

  /** The pieces of the named streams in the order they arrived. Each stream has one reader. */
  async *read(names: readonly OutputName[] = NAMES): AsyncGenerator<OutputChunk, void, undefined> {
    for (const name of names) this.#claimed[name] = true;
    this.#trim();
    this.#releaseWriter();
    try {
      for (;;) {
        const held = this.#take(names);
        if (held !== undefined) {
          yield { stream: held.stream, bytes: held.bytes };
        } else if (this.#ended) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => this.#wakeReaders.push(resolve));
        }
      }
    } finally {
      for (const name of names) this.#claimed[name] = false;
    }
  }

  #take(names: readonly OutputName[]): Held | undefined {
    let oldest: OutputName | undefined;
    for (const name of names) {
      const sequence = this.#queues[name][0]?.sequence ?? Infinity;
      const best =
        oldest === undefined ? Infinity : (this.#queues[oldest][0]?.sequence ?? Infinity);
      if (sequence < best) oldest = name;
    }
    if (oldest === undefined) return undefined;
    const held = this.#remove(oldest);
    if (!this.#full()) this.#releaseWriter();
    return held;
  }

  #remove(name: OutputName): Held | undefined {
    const held = this.#queues[name].shift();
    const size = held?.bytes.byteLength ?? 0;
    this.#bytes[name] -= size;
    this.#offset[name] += size;
    return held;
  }

  /** Before anyone reads, everything waits; then only what is read does. */
  #full(): boolean {
    const reading = NAMES.filter((name) => this.#claimed[name]);
    const counted = reading.length === 0 ? NAMES : reading;
    return counted.some((name) => this.#bytes[name] > this.#limitBytes);
  }

  #trim(): void {
    if (!NAMES.some((name) => this.#claimed[name])) return;
    for (const name of NAMES) {
      if (this.#claimed[name]) continue;
      const from = this.#offset[name];
      while (this.#bytes[name] > this.#limitBytes) this.#remove(name);
      const to = this.#offset[name];
      if (to > from) this.#onGap({ stream: name, from, to });
    }
  }

  #wake(): void {
    const readers = this.#wakeReaders;
    this.#wakeReaders = [];
    for (const wake of readers) wake();
  }

  #releaseWriter(): void {
    this.#wakeWriter?.();
    this.#wakeWriter = undefined;
  }
}
