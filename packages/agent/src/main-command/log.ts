import { LIMITS, type LogLine } from "@insien/protocol";
import { Ring } from "../processes/ring.ts";

export type LogStream = LogLine["stream"];

/** Bytes as they came out of a pipe at one time, or one whole line of our own (`system`). */
export interface LogRecord {
  stream: LogStream;
  /** Milliseconds since 1970. */
  at: number;
  /** The stream's bytes before these did not end a line. */
  continues: boolean;
  bytes: Buffer;
  /** Where the record behind it begins. */
  next: number;
}

const STREAMS: readonly LogStream[] = ["stdout", "stderr", "system"];
/** Stream and whether it continues, then the length, then the time. */
const HEADER_BYTES = 13;
const STREAM_MASK = 3;
const CONTINUES = 4;
const LINE_END = 0x0a;

/**
 * The last `mainLogBytes` of what the main command printed. What is written is copied and no more,
 * headers included in the bound: lines are made by who reads, so a main command that prints fast
 * pays nothing for being logged.
 */
export class Log {
  readonly #ring = new Ring(LIMITS.mainLogBytes.value);
  readonly #header = Buffer.alloc(HEADER_BYTES);
  readonly #listeners = new Set<() => void>();
  readonly #open = new Set<LogStream>();
  #oldest = 0;
  #droppedBytes = 0;
  #printedBytes = 0;

  /** Where the oldest record begins that is still here. */
  get start(): number {
    return this.#oldest;
  }

  /** Where the next record will begin. */
  get end(): number {
    return this.#ring.end;
  }

  /** How many bytes of output had to make room for newer ones. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  /** How many bytes of output there ever were. */
  get printedBytes(): number {
    return this.#printedBytes;
  }

  append(stream: LogStream, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#makeRoom(HEADER_BYTES + bytes.byteLength);
    const header = this.#header;
    header[0] = STREAMS.indexOf(stream) | (this.#open.has(stream) ? CONTINUES : 0);
    header.writeUInt32LE(bytes.byteLength, 1);
    header.writeDoubleLE(Date.now(), 5);
    this.#ring.append(header);
    this.#ring.append(bytes);
    this.#printedBytes += bytes.byteLength;
    // A line of our own stands between two runs, so it ends what was open.
    if (stream === "system") this.#open.clear();
    else if (bytes[bytes.byteLength - 1] === LINE_END) this.#open.delete(stream);
    else this.#open.add(stream);
    for (const listener of this.#listeners) listener();
  }

  /** A line that tells of the main command rather than being printed by it. */
  say(text: string): void {
    this.append("system", Buffer.from(text.slice(0, LIMITS.lastWordsBytes.value)));
  }

  /** The record at `position`, which is a `start` or a `next`; `undefined` at the end. */
  read(position: number): LogRecord | undefined {
    if (position >= this.end) return undefined;
    const header = this.#copy(position, HEADER_BYTES);
    const length = header.readUInt32LE(1);
    const marks = header[0] ?? 0;
    return {
      stream: STREAMS[marks & STREAM_MASK] ?? "system",
      at: header.readDoubleLE(5),
      continues: (marks & CONTINUES) !== 0,
      bytes: this.#copy(position + HEADER_BYTES, length),
      next: position + HEADER_BYTES + length,
    };
  }

  /** Calls back after each `append`. The function given back ends that. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #makeRoom(neededBytes: number): void {
    const limit = LIMITS.mainLogBytes.value;
    while (this.#oldest < this.end && this.end + neededBytes - this.#oldest > limit) {
      const length = this.#copy(this.#oldest, HEADER_BYTES).readUInt32LE(1);
      this.#oldest += HEADER_BYTES + length;
      this.#droppedBytes += length;
    }
  }

  #copy(position: number, length: number): Buffer {
    const copy = Buffer.allocUnsafe(length);
    let filled = 0;
    for (const view of this.#ring.read(position)) {
      copy.set(view.subarray(0, length - filled), filled);
      filled += Math.min(view.byteLength, length - filled);
      if (filled === length) break;
    }
    return copy;
  }
}
