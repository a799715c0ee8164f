/** The last bytes of a stream, addressed by their position since its beginning. */
const FIRST_CAPACITY_BYTES = 4096;

export class Ring {
  readonly #limit: number;
  #bytes = Buffer.alloc(0);
  #end = 0;
  #cleared = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Position behind the last byte: how many there ever were. */
  get end(): number {
    return this.#end;
  }

  /** Position of the oldest byte that is still here. */
  get start(): number {
    return Math.max(this.#cleared, this.#end - this.#bytes.length);
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#bytes.length;
  }

  /** Gives the memory back; the positions stay what they were. */
  clear(): void {
    this.#bytes = Buffer.alloc(0);
    this.#cleared = this.#end;
  }

  append(chunk: Uint8Array): void {
    const kept =
      chunk.byteLength > this.#limit ? chunk.subarray(chunk.byteLength - this.#limit) : chunk;
    const skipped = chunk.byteLength - kept.byteLength;
    this.#reserve(this.#end + chunk.byteLength);
    this.#end += skipped;
    let position = this.#end % this.#bytes.length;
    for (let taken = 0; taken < kept.byteLength;) {
      const part = kept.subarray(taken, taken + this.#bytes.length - position);
      this.#bytes.set(part, position);
      taken += part.byteLength;
      position = 0;
    }
    this.#end += kept.byteLength;
  }

  /**
   * Bytes from `position` (not before `start`) as views that hold until the next `append`: one, or
   * two where the ring's seam lies between.
   */
  *read(position: number): Generator<Uint8Array> {
    let from = position;
    while (from < this.#end) {
      const index = from % this.#bytes.length;
      const length = Math.min(this.#bytes.length - index, this.#end - from);
      yield this.#bytes.subarray(index, index + length);
      from += length;
    }
  }

  /** Grows by doubling while nothing had to be overwritten yet, so that short output stays small. */
  #reserve(needed: number): void {
    if (needed <= this.#bytes.length || this.#bytes.length >= this.#limit) return;
    let capacity = Math.max(this.#bytes.length, FIRST_CAPACITY_BYTES);
    while (capacity < needed && capacity < this.#limit) capacity *= 2;
    const grown = Buffer.allocUnsafeSlow(Math.min(capacity, this.#limit));
    grown.set(this.#bytes.subarray(0, Math.min(this.#end, this.#bytes.length)));
    this.#bytes = grown;
  }
}
