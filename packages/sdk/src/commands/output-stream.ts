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

  /** Whole lines without their line ends; a last one that has no end is given too. */
  async *lines(): AsyncGenerator<string, void, undefined> {
    let rest = "";
    for await (const text of this) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
    }
    if (rest !== "") yield rest;
  }
}
