import { InsienError } from "@insien/protocol";

/** Bytes of a stream, in the portions that a reader wants. */
export class ByteSource {
  readonly #chunks: AsyncIterator<unknown>;
  #rest = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<unknown>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Exactly `length` bytes, `undefined` at the end of the stream. `what` names them where they are cut. */
  async read(length: number, what: string): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    for await (const part of this.portions(length, what, { endIsFine: true })) {
      parts.push(part);
      missing -= part.length;
    }
    if (missing === length && length > 0) return undefined;
    return parts.length === 1 ? parts[0] : Buffer.concat(parts);
  }

  /** The next `length` bytes as they come. */
  async *portions(
    length: number,
    what: string,
    options: { endIsFine?: boolean } = {},
  ): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      if (this.#rest.length === 0 && !(await this.#more())) {
        if (options.endIsFine === true && left === length) return;
        throw new InsienError("invalid_request", `the tar ends in the middle of ${what}`);
      }
      const part = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(part.length);
      left -= part.length;
      yield part;
    }
  }

  /** Reads to the end and keeps nothing. */
  async drain(): Promise<void> {
    this.#rest = Buffer.alloc(0);
    while (await this.#more()) this.#rest = Buffer.alloc(0);
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#chunks.next();
    if (done === true) return false;
    if (value instanceof Buffer) this.#rest = value;
    return true;
  }
}
