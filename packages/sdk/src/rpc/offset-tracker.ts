/**
 * Follows one output stream across reconnections. Every piece says at which offset of the stream it
 * begins, so what arrives twice is told from what is new, and what is missing is noticed.
 */

/** Output that is gone: the bytes from `from` up to, not including, `to`. */
export interface OffsetGap {
  from: number;
  to: number;
}

export interface AcceptedPiece {
  /** The part not seen before; `undefined` when all of it was. */
  bytes: Uint8Array | undefined;
  gap: OffsetGap | undefined;
}

export class OffsetTracker {
  /** Where the next new byte is; `undefined` until the first piece, when it may begin anywhere. */
  #next: number | undefined;

  constructor(next?: number) {
    this.#next = next;
  }

  get next(): number {
    return this.#next ?? 0;
  }

  accept(offset: number, payload: Uint8Array): AcceptedPiece {
    const next = this.#next ?? offset;
    const end = offset + payload.byteLength;
    if (end <= next) {
      this.#next = next;
      return { bytes: undefined, gap: undefined };
    }
    this.#next = end;
    if (offset > next) return { bytes: payload, gap: { from: next, to: offset } };
    return { bytes: offset === next ? payload : payload.subarray(next - offset), gap: undefined };
  }

  /** The sender says that the stream goes on at `to`; the gap is what this reader lacks of it. */
  skipTo(to: number, from: number = this.next): OffsetGap | undefined {
    const next = this.#next ?? from;
    if (to <= next) return undefined;
    this.#next = to;
    return { from: next, to };
  }
}
