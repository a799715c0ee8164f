import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";

/**
 * Cuts text into lines as it comes. A line longer than the limit is given in pieces, because nothing
 * says that it ever ends.
 */
export class LineSplitter {
  #rest = "";
  readonly #maxCharacters: number;

  constructor(maxCharacters: number = LIMITS.sdkLineCharacters.value) {
    this.#maxCharacters = maxCharacters;
  }

  /** The lines that the text completes, without their ends. */
  push(text: string): string[] {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    const whole = lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
    while (this.#rest.length > this.#maxCharacters) {
      whole.push(this.#rest.slice(0, this.#maxCharacters));
      this.#rest = this.#rest.slice(this.#maxCharacters);
    }
    return whole;
  }

  /** The last line where it has no end. */
  end(): string[] {
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}
