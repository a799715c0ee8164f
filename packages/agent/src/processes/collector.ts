import { LIMITS } from "@insien/protocol";
import { HEADROOM_BYTES } from "../rpc/web-socket-rpc-connection.ts";
import type { OutputReader } from "./output.ts";

/** Gathers a stream for the one answer of `exec`, up to a bound. */
export class Collector implements OutputReader {
  readonly full = false;
  readonly #chunks: Buffer[] = [];
  #kept = 0;
  #seen = 0;

  /** How many bytes the stream gave in all. */
  get seenBytes(): number {
    return this.#seen;
  }

  get truncated(): boolean {
    return this.#seen > this.#kept;
  }

  output(_offset: number, frame: Buffer): void {
    const bytes = frame.subarray(HEADROOM_BYTES);
    const room = LIMITS.collectedOutputBytes.value - this.#kept;
    const kept = bytes.subarray(0, room);
    if (kept.length > 0) this.#chunks.push(Buffer.from(kept));
    this.#kept += kept.length;
    this.#seen += bytes.length;
  }

  emptied(): Promise<void> {
    return Promise.resolve();
  }

  text(encoding: "utf8" | "base64"): string {
    const [only] = this.#chunks;
    const whole = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks);
    return whole.toString(encoding);
  }
}
