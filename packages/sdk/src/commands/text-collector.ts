/** Collects the beginning of a byte stream, up to a bound, and counts the rest. */
export class TextCollector {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #keptBytes = 0;
  /** All bytes seen, kept or not. */
  totalBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(bytes: Uint8Array): void {
    this.totalBytes += bytes.byteLength;
    const room = this.#limitBytes - this.#keptBytes;
    if (room <= 0) return;
    const kept = bytes.byteLength > room ? bytes.subarray(0, room) : bytes;
    this.#chunks.push(kept);
    this.#keptBytes += kept.byteLength;
  }

  get truncated(): boolean {
    return this.totalBytes > this.#keptBytes;
  }

  /** The text so far; bytes that are not UTF-8 become replacement characters. */
  text(): string {
    const decoder = new TextDecoder();
    const parts = this.#chunks.map((chunk) => decoder.decode(chunk, { stream: true }));
    return parts.join("") + decoder.decode();
  }
}
