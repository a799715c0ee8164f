const EXTENDED_LENGTH_BYTES: Record<number, number> = { 126: 2, 127: 8 };
const OPCODE_CLOSE = 8;

/**
 * Follows the WebSocket frames of a byte stream just far enough to know whether it stands between
 * two frames: it reads lengths and skips payloads. Only there may the orchestrator add a frame of
 * its own to a conversation that it otherwise copies unread.
 */
export class FrameBoundary {
  readonly #header = Buffer.alloc(14);
  #headerBytes = 0;
  #payloadLeft = 0;
  #closing = false;

  /** True between two frames. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#payloadLeft === 0;
  }

  /** True once a close frame went by: the conversation is over and nothing may follow. */
  get closing(): boolean {
    return this.#closing;
  }

  advance(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= skipped;
        at += skipped;
        continue;
      }
      this.#header[this.#headerBytes] = chunk[at] ?? 0;
      this.#headerBytes += 1;
      at += 1;
      if (this.#headerBytes >= 2) this.#readHeader();
    }
  }

  #readHeader(): void {
    const second = this.#header[1] ?? 0;
    const length = second & 0x7f;
    const extended = EXTENDED_LENGTH_BYTES[length] ?? 0;
    const maskBytes = second >= 0x80 ? 4 : 0;
    if (this.#headerBytes < 2 + extended + maskBytes) return;
    if (((this.#header[0] ?? 0) & 0x0f) === OPCODE_CLOSE) this.#closing = true;
    this.#payloadLeft = extended === 0 ? length : this.#extendedLength(extended);
    this.#headerBytes = 0;
  }

  #extendedLength(bytes: number): number {
    if (bytes === 2) return this.#header.readUInt16BE(2);
    return this.#header.readUInt32BE(2) * 2 ** 32 + this.#header.readUInt32BE(6);
  }
}
