import { Transform, type TransformCallback } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";

/** In JSON a character may take six times what it takes by itself; the rest is around the text. */
const LINE_BYTES = 6 * LIMITS.mainLogLineBytes.value + 1024;
const NEWLINE = "\n".charCodeAt(0);

/** Makes the lines of a log, as an agent sends them, into their texts. The agent is not trusted. */
export class LogTexts extends Transform {
  #pieces: Buffer[] = [];
  #pendingBytes = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    try {
      const texts = this.#textsOf(chunk);
      done(null, texts === "" ? undefined : texts);
    } catch (error) {
      done(error as Error);
    }
  }

  #textsOf(chunk: Buffer): string {
    let texts = "";
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = Buffer.concat([...this.#pieces, chunk.subarray(start, end)]);
      this.#pieces = [];
      this.#pendingBytes = 0;
      start = end + 1;
      texts += `${textOf(line)}\n`;
    }
    if (start < chunk.length) this.#pieces.push(chunk.subarray(start));
    this.#pendingBytes += chunk.length - start;
    if (this.#pendingBytes > LINE_BYTES) {
      throw new InsienError("internal", "The agent sent a line of its log without end");
    }
    return texts;
  }
}

function textOf(line: Buffer): string {
  const value: unknown = JSON.parse(line.toString("utf8"));
  if (typeof value === "object" && value !== null && "text" in value) {
    if (typeof value.text === "string") return value.text;
  }
  throw new InsienError("internal", "The agent sent something that is no line of a log");
}
