import { LIMITS } from "@insien/protocol";
import { Ring } from "../processes/ring.ts";
import { ScreenModes } from "./screen-modes.ts";

const LINE_FEED = 0x0a;
/** How far behind the ring's start a line's end is looked for. */
const LINE_SEARCH_BYTES = 4096;

/** The last output of a terminal, to be replayed to whoever comes later. */
export class Scrollback {
  readonly ring = new Ring(LIMITS.terminalScrollbackBytes.value);
  readonly #modes = new ScreenModes();

  append(chunk: Buffer): void {
    this.#modes.observe(chunk, this.ring.end);
    this.ring.append(chunk);
    this.#modes.forget(this.ring.start);
  }

  /**
   * Where a newcomer may begin: at the very start, else behind a line's end, so that no character
   * and no escape sequence is cut in two. `prefix` puts a fresh terminal into the state there.
   */
  beginning(): { offset: number; prefix: string } {
    const { ring } = this;
    if (ring.start === 0) return { offset: 0, prefix: "" };
    const offset = this.#lineStart(ring.start);
    return { offset, prefix: this.#modes.prefix(offset) };
  }

  #lineStart(from: number): number {
    let position = from;
    for (const part of this.ring.read(from)) {
      const found = part.subarray(0, LINE_SEARCH_BYTES).indexOf(LINE_FEED);
      if (found >= 0) return position + found + 1;
      position += part.byteLength;
      if (position - from >= LINE_SEARCH_BYTES) break;
    }
    return from;
  }
}
