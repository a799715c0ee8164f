import { LineSplitter } from "../wire/line-splitter.ts";
import type { OutputChunk } from "./output-buffer.ts";

/** One stream of a command's output; iterate over it once, in the form you want. */
export class OutputStream implements AsyncIterable<string> {
  readonly #read: () => AsyncGenerator<OutputChunk, void, undefined>;

  constructor(read: () => AsyncGenerator<OutputChunk, void, undefined>) {
    this.#read = read;
  }

  /** The output as it is, with no decoding. */
  async *bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const { bytes } of this.#read()) yield bytes;
  }

  /** Text as it arrives; characters are never cut in two. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const decoder = new TextDecoder();
    for await (const { bytes } of this.#read()) {
      const text = decoder.decode(bytes, { stream: true });
      if (text !== "") yield text;
    }
    const rest = decoder.decode();
    if (rest !== "") yield rest;
  }

  /**
   * Lines without their line ends; a last one that has no end is given too, and one that does not
   * seem to end in pieces.
   */
  async *lines(): AsyncGenerator<string, void, undefined> {
    const splitter = new LineSplitter();
    for await (const text of this) yield* splitter.push(text);
    yield* splitter.end();
  }
}
