import { once } from "node:events";
import { PassThrough, type Readable } from "node:stream";

export type LineFormat = "ndjson" | "event-stream";

/** Which stream of lines the client asked for in `Accept`, if any. */
export function wantsLines(accept: string | undefined): LineFormat | undefined {
  if (accept === undefined) return undefined;
  if (accept.includes("application/x-ndjson")) return "ndjson";
  return accept.includes("text/event-stream") ? "event-stream" : undefined;
}

/** An answer sent piece by piece: one JSON object per line, or one server-sent event for each. */
export class LineStream<Line extends { type: string }> {
  readonly #format: LineFormat;
  readonly #stream = new PassThrough({ highWaterMark: 256 * 1024 });

  constructor(format: LineFormat) {
    this.#format = format;
    // A client that leaves destroys the stream; what is sent after that goes nowhere.
    this.#stream.on("error", () => undefined);
  }

  get readable(): Readable {
    return this.#stream;
  }

  get contentType(): string {
    return this.#format === "ndjson" ? "application/x-ndjson" : "text/event-stream";
  }

  /** `false` when the reader is behind and the sender should wait for `drained`. */
  send(line: Line): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return true;
    const json = JSON.stringify(line);
    const text = this.#format === "ndjson" ? json : `event: ${line.type}\ndata: ${json}\n`;
    return this.#stream.write(`${text}\n`);
  }

  /** Rejects when the reader leaves instead. */
  async drained(): Promise<void> {
    if (!this.#stream.writableNeedDrain) return;
    const left = new AbortController();
    const onClose = () => left.abort();
    this.#stream.once("close", onClose);
    try {
      await once(this.#stream, "drain", { signal: left.signal });
    } finally {
      this.#stream.off("close", onClose);
    }
  }

  end(): void {
    this.#stream.end();
  }
}
