import { LIMITS } from "@insien/protocol";
import type { LogRecord, LogStream } from "./log.ts";

/** A line's bytes, without its end. */
export interface RawLine {
  stream: LogStream;
  at: number;
  bytes: Buffer;
}

interface Unfinished {
  at: number;
  pieces: Buffer[];
  bytes: number;
}

const LINE_END = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * Makes lines of records. It works on bytes, so that no character is torn where a read ended; a line
 * past `mainLogLineBytes` comes in pieces, each of whole characters.
 */
export class LineSplitter {
  readonly #unfinished = new Map<LogStream, Unfinished>();
  readonly #seen = new Set<LogStream>();

  /** Whether a line has begun that nothing has ended. */
  get hasUnfinished(): boolean {
    return this.#unfinished.size > 0;
  }

  *split(record: LogRecord): Generator<RawLine> {
    const { stream, at } = record;
    if (stream === "system") {
      yield* this.finish();
      yield { stream, at, bytes: record.bytes };
      return;
    }
    let rest = this.#fromItsBeginning(record);
    for (;;) {
      const index = rest.indexOf(LINE_END);
      if (index === -1) break;
      yield* this.#complete(stream, at, rest.subarray(0, index));
      rest = rest.subarray(index + 1);
    }
    if (rest.length > 0) yield* this.#hold(stream, at, rest);
  }

  /** What was begun, as lines; with `wholeCharacters` a last character that is not all there stays. */
  *finish(options: { wholeCharacters?: boolean } = {}): Generator<RawLine> {
    for (const [stream, { at, pieces }] of [...this.#unfinished]) {
      const whole = Buffer.concat(pieces);
      const end =
        options.wholeCharacters === true ? characterEnd(whole, whole.length) : whole.length;
      this.#unfinished.delete(stream);
      if (end > 0) yield { stream, at, bytes: whole.subarray(0, end) };
      const left = whole.subarray(end);
      if (left.length > 0) this.#unfinished.set(stream, { at, pieces: [left], bytes: left.length });
    }
  }

  /** The oldest record that is kept may begin in the middle of a line, and of a character. */
  #fromItsBeginning({ stream, continues, bytes }: LogRecord): Buffer {
    if (this.#seen.has(stream)) return bytes;
    this.#seen.add(stream);
    if (!continues) return bytes;
    const index = bytes.indexOf(LINE_END);
    if (index !== -1) return bytes.subarray(index + 1);
    const first = bytes.findIndex((byte) => !isContinuation(byte));
    return first === -1 ? bytes.subarray(bytes.length) : bytes.subarray(first);
  }

  *#complete(stream: LogStream, at: number, tail: Buffer): Generator<RawLine> {
    const before = this.#unfinished.get(stream);
    this.#unfinished.delete(stream);
    const whole = before === undefined ? tail : Buffer.concat([...before.pieces, tail]);
    const [pieces, last] = cut(whole);
    const since = before?.at ?? at;
    for (const bytes of pieces) yield { stream, at: since, bytes };
    const end = last.at(-1) === CARRIAGE_RETURN ? last.length - 1 : last.length;
    yield { stream, at: since, bytes: last.subarray(0, end) };
  }

  *#hold(stream: LogStream, at: number, rest: Buffer): Generator<RawLine> {
    const held = this.#unfinished.get(stream) ?? { at, pieces: [], bytes: 0 };
    held.pieces.push(rest);
    held.bytes += rest.length;
    this.#unfinished.set(stream, held);
    if (held.bytes <= LIMITS.mainLogLineBytes.value) return;
    const [pieces, last] = cut(Buffer.concat(held.pieces));
    for (const bytes of pieces) yield { stream, at: held.at, bytes };
    this.#unfinished.set(stream, { at, pieces: [last], bytes: last.length });
  }
}

/** Pieces of the greatest length, and what is left. */
function cut(whole: Buffer): [pieces: Buffer[], last: Buffer] {
  const limit = LIMITS.mainLogLineBytes.value;
  const pieces: Buffer[] = [];
  let last = whole;
  while (last.length > limit) {
    const end = characterEnd(last, limit);
    pieces.push(last.subarray(0, end));
    last = last.subarray(end);
  }
  return [pieces, last];
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80;

/** The last position up to `limit` that is not inside a UTF-8 character; `limit` where there is no such text. */
function characterEnd(bytes: Buffer, limit: number): number {
  for (let back = 1; back <= Math.min(4, limit); back += 1) {
    const byte = bytes[limit - back] ?? 0;
    if (isContinuation(byte)) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? limit - back : limit;
  }
  return limit;
}
