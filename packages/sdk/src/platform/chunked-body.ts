const LF = 10;
const CR = 13;
/** A size in hexadecimal, perhaps an extension: far less than this. */
const LINE_CHARACTERS_MAX = 1024;

/**
 * Takes the chunks of HTTP/1.1 apart (RFC 9112, 7.1) without copying what is in them. Node's parser
 * does the same, and hands each piece through two streams.
 */
export class ChunkedBody {
  /** Bytes of the current chunk that are still to come, its line end apart. */
  #left = 0;
  #line = "";
  #state: "size" | "data" | "data-end" | "trailer" | "done" = "size";

  get isDone(): boolean {
    return this.#state === "done";
  }

  /** The body's bytes among these; views of them. Throws on what is no chunk. */
  *parts(bytes: Buffer): Generator<Buffer, void, undefined> {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "data") {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        if (this.#left === 0) this.#state = "data-end";
        yield part;
      } else at = this.#readLine(bytes, at);
    }
  }

  /** Up to a line end, which may come with the next bytes. */
  #readLine(bytes: Buffer, start: number): number {
    const end = bytes.indexOf(LF, start);
    this.#line += bytes.toString("latin1", start, end < 0 ? bytes.length : end);
    if (this.#line.length > LINE_CHARACTERS_MAX) throw new Error("a chunk has a line without end");
    if (end < 0) return bytes.length;
    const line =
      this.#line.charCodeAt(this.#line.length - 1) === CR ? this.#line.slice(0, -1) : this.#line;
    this.#line = "";
    this.#endOfLine(line);
    return end + 1;
  }

  #endOfLine(line: string): void {
    if (this.#state === "size") {
      const size = /^([0-9a-f]{1,12})(?:[ \t]*;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw new Error("a chunk has no size");
      this.#left = Number.parseInt(size, 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    } else if (this.#state === "data-end") {
      if (line !== "") throw new Error("a chunk is longer than its size");
      this.#state = "size";
    } else if (line === "") this.#state = "done";
  }
}
