import { harmlessLine } from "./harmless.ts";
import { bytesText } from "./quantity.ts";

const BAR_CELLS = 24;
const REDRAW_MS = 80;

/**
 * A line on stderr that says how far a long piece of work is, redrawn in place; nothing at all where
 * stderr is no terminal. `await using` or `done` takes it away again.
 */
export class Progress implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  #drawnAt = 0;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** `total` unknown: how much and how fast is shown, without a bar. */
  bytes(label: string, current: number, total?: number): void {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = `${bytesText(current / Math.max(seconds, 0.001))}/s`;
    if (total === undefined || total === 0) {
      this.#draw(`${label}  ${bytesText(current)}  ${rate}`);
      return;
    }
    const share = Math.min(1, current / total);
    const filled = Math.round(share * BAR_CELLS);
    const bar = "█".repeat(filled) + "░".repeat(BAR_CELLS - filled);
    const percent = `${Math.floor(share * 100)}%`.padStart(4);
    this.#draw(`${label}  ${bar} ${percent}  ${bytesText(current)}/${bytesText(total)}  ${rate}`);
  }

  /** A step of work that cannot be measured. */
  step(text: string): void {
    this.#drawnAt = 0;
    this.#draw(text);
  }

  done(): void {
    if (this.#drawn) this.#stream.write("\r\u{1b}[K");
    this.#drawn = false;
  }

  [Symbol.dispose](): void {
    this.done();
  }

  #draw(text: string): void {
    const now = performance.now();
    if (!this.#stream.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const line = harmlessLine(text.replaceAll(/\s+/g, " ")).slice(
      0,
      Math.max(1, this.#stream.columns - 1),
    );
    this.#stream.write(`\r\u{1b}[K${line}`);
  }
}
