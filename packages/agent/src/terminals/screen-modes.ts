/**
 * Keeps a replayed scrollback sane: when the bytes that switched to the alternate screen, hid the
 * cursor or turned the mouse on have left the ring, what is left of it would be drawn wrongly.
 */
const SEQUENCE = /\x1b\[\?([\d;]{1,40})([hl])/g;
const MARK = Buffer.from("\x1b[?");
/** Longer sequences than this are no mode switches. */
const SEQUENCE_BYTES = 48;

/** Mode numbers and whether they are on in a terminal that was just opened. */
const DEFAULTS = new Map([
  [1, false],
  [7, true],
  [25, true],
  [47, false],
  [1000, false],
  [1002, false],
  [1003, false],
  [1004, false],
  [1006, false],
  [1047, false],
  [1049, false],
  [2004, false],
]);

interface Switch {
  offset: number;
  mode: number;
  on: boolean;
}

export class ScreenModes {
  /** As they are where the ring begins. */
  readonly #modes = new Map(DEFAULTS);
  /** Of the bytes in the ring, oldest first. */
  #switches: Switch[] = [];
  /** The end of the last chunk, where a sequence may have begun. */
  #tail: Buffer = Buffer.alloc(0);

  /** To be told every chunk, with the position of its first byte. */
  observe(chunk: Buffer, offset: number): void {
    const joined = this.#tail.length === 0 ? chunk : Buffer.concat([this.#tail, chunk]);
    const start = offset - this.#tail.length;
    if (joined.includes(MARK)) {
      for (const match of joined.toString("latin1").matchAll(SEQUENCE)) {
        this.#note(match, start + match.index);
      }
    }
    const escape = joined.lastIndexOf(0x1b);
    const isOpen = escape >= joined.length - SEQUENCE_BYTES && escape >= 0;
    const unfinished = isOpen ? joined.subarray(escape) : undefined;
    const ends = unfinished !== undefined && /[@-Z\\^-~]/.test(unfinished.toString("latin1", 2));
    this.#tail = unfinished === undefined || ends ? Buffer.alloc(0) : Buffer.from(unfinished);
  }

  #note([, numbers = "", letter]: RegExpExecArray, offset: number): void {
    for (const mode of numbers.split(";").map(Number)) {
      if (DEFAULTS.has(mode)) this.#switches.push({ offset, mode, on: letter === "h" });
    }
  }

  /** Bytes are gone up to `offset`: what they switched is the state to begin with. */
  forget(offset: number): void {
    let gone = 0;
    for (const { offset: at, mode, on } of this.#switches) {
      if (at >= offset) break;
      this.#modes.set(mode, on);
      gone += 1;
    }
    if (gone > 0) this.#switches = this.#switches.slice(gone);
  }

  /** What brings a fresh terminal into the state that holds at `offset`, which lies in the ring. */
  prefix(offset: number): string {
    const modes = new Map(this.#modes);
    for (const { offset: at, mode, on } of this.#switches) {
      if (at < offset) modes.set(mode, on);
    }
    return [...modes]
      .filter(([mode, on]) => on !== DEFAULTS.get(mode))
      .map(([mode, on]) => `\x1b[?${mode}${on ? "h" : "l"}`)
      .join("");
  }
}
