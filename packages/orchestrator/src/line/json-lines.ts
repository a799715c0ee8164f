import { setTimeout as sleep } from "node:timers/promises";
import { InsienError } from "@insien/protocol";

/** What one sender may make its reader take in; past it the reader pauses, and so the sender. */
export interface LineBounds {
  /** One line, held in memory whole. */
  lineBytes: number;
  /** In one second, so that one sender cannot keep the event loop from all others. */
  linesPerSecond: number;
  bytesPerSecond: number;
}

const WINDOW_MS = 1000;
const NEWLINE = "\n".charCodeAt(0);

/**
 * Reads newline-delimited JSON of a sender that is not trusted: lines have a longest length, and a
 * flood is read slowly, which holds its sender up. Throws at the first line that is no JSON.
 */
export async function* jsonLines(
  source: AsyncIterable<Buffer>,
  bounds: LineBounds,
): AsyncGenerator<unknown, void, undefined> {
  const pace = new Pace(bounds);
  let pieces: Buffer[] = [];
  let pendingBytes = 0;
  for await (const chunk of source) {
    await pace.take({ bytes: chunk.length });
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...pieces, chunk.subarray(start, end)]);
      pieces = [];
      pendingBytes = 0;
      start = end + 1;
      await pace.take({ lines: 1 });
      yield JSON.parse(line.toString("utf8"));
    }
    pendingBytes += chunk.length - start;
    if (pendingBytes > bounds.lineBytes) {
      throw new InsienError("payload_too_large", `A line is longer than ${bounds.lineBytes} bytes`);
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
  }
}

/** Lets so much through in each second, and has the rest wait for the next. */
class Pace {
  readonly #bounds: LineBounds;
  #windowEndsAt = 0;
  #lines = 0;
  #bytes = 0;

  constructor(bounds: LineBounds) {
    this.#bounds = bounds;
  }

  async take({ lines = 0, bytes = 0 }: { lines?: number; bytes?: number }): Promise<void> {
    const now = performance.now();
    if (now >= this.#windowEndsAt) this.#begin(now);
    this.#lines += lines;
    this.#bytes += bytes;
    if (this.#lines <= this.#bounds.linesPerSecond && this.#bytes <= this.#bounds.bytesPerSecond) {
      return;
    }
    await sleep(this.#windowEndsAt - now);
    this.#begin(performance.now());
  }

  #begin(now: number): void {
    this.#windowEndsAt = now + WINDOW_MS;
    this.#lines = 0;
    this.#bytes = 0;
  }
}
