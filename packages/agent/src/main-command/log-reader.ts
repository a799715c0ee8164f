import type { LogLine } from "@insien/protocol";
import { LineSplitter, type RawLine } from "./line-splitter.ts";
import type { Log } from "./log.ts";

/** Where one reader is in the log. It holds no more than lines that are not finished. */
export class LogReader {
  readonly #log: Log;
  #splitter = new LineSplitter();
  #position: number;
  /** How many bytes of output lie before the position, since the log's beginning. */
  #passedBytes: number;
  /** Lines that `tailLines` leaves out. */
  #skip = 0;

  /** `tailLines`: only the last so many of what there is now. */
  constructor(log: Log, tailLines?: number) {
    this.#log = log;
    const fromEnd = tailLines === 0;
    this.#position = fromEnd ? log.end : log.start;
    this.#passedBytes = fromEnd ? log.printedBytes : tailLines === undefined ? 0 : log.droppedBytes;
    if (tailLines !== undefined && !fromEnd) this.#skip = Math.max(0, linesIn(log) - tailLines);
  }

  /** Whether a line has begun that nothing has ended. */
  get hasUnfinished(): boolean {
    return this.#splitter.hasUnfinished;
  }

  /**
   * The lines that the next record finishes; `undefined` when there is no record yet. Output that
   * made room for newer before it was read is told of in a line of its own.
   */
  next(): LogLine[] | undefined {
    const missedBytes = this.#log.droppedBytes - this.#passedBytes;
    if (missedBytes > 0) return this.#jump(missedBytes);
    const record = this.#log.read(this.#position);
    if (record === undefined) return undefined;
    this.#position = record.next;
    this.#passedBytes += record.bytes.length;
    return this.#wanted(this.#splitter.split(record));
  }

  /** What was begun, as lines; with `wholeCharacters` a last character that is not all there waits. */
  finish(options: { wholeCharacters?: boolean } = {}): LogLine[] {
    return this.#wanted(this.#splitter.finish(options));
  }

  #jump(missedBytes: number): LogLine[] {
    const lines = this.finish();
    const text = `${missedBytes} bytes of output are missing here: newer output took their place`;
    lines.push({ stream: "system", at: new Date().toISOString(), text });
    this.#splitter = new LineSplitter();
    this.#position = this.#log.start;
    this.#passedBytes += missedBytes;
    this.#skip = 0;
    return lines;
  }

  #wanted(found: Iterable<RawLine>): LogLine[] {
    const lines: LogLine[] = [];
    for (const raw of found) {
      if (this.#skip > 0) this.#skip -= 1;
      else lines.push(lineOf(raw));
    }
    return lines;
  }
}

const lineOf = ({ stream, at, bytes }: RawLine): LogLine => ({
  stream,
  at: new Date(at).toISOString(),
  text: bytes.toString("utf8"),
});

function linesIn(log: Log): number {
  const splitter = new LineSplitter();
  let count = 0;
  const countAll = (lines: Iterable<RawLine>): void => {
    for (const _line of lines) count += 1;
  };
  let record = log.read(log.start);
  while (record !== undefined) {
    countAll(splitter.split(record));
    record = log.read(record.next);
  }
  countAll(splitter.finish());
  return count;
}
