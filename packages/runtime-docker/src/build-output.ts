/** What a build tells, line by line: which step it is at, and what that step prints. */
import { InsienError, LIMITS } from "@insien/protocol";
import type { Progress } from "@insien/runtime";
import { jsonLines } from "./engine.ts";

interface BuildLine {
  stream?: string;
  error?: string;
  aux?: { ID?: string };
}

export interface BuildFollowers {
  onProgress?: ((progress: Progress) => void) | undefined;
  /** A container that runs one step was made and is about to start. */
  onContainer: (containerId: string) => void;
  /** Steps that are ours and not the author's are not told. */
  isOwnStep: (step: string) => boolean;
  ownSteps: number;
}

/** A line without an end is told in pieces of this. */
const LINE_CHARACTERS = 8 * 1024;

/** Follows a build to its end; throws `build_failed` with the step and the end of the output. */
export async function followBuild(
  stream: NodeJS.ReadableStream,
  followers: BuildFollowers,
): Promise<void> {
  const output = new BuildOutput(followers);
  for await (const value of jsonLines(stream)) {
    const line = value as BuildLine;
    if (line.stream !== undefined) output.add(line.stream);
    if (line.error !== undefined) throw output.failure(line.error);
  }
}

class BuildOutput {
  readonly #followers: BuildFollowers;
  #rest = "";
  #tail = "";
  #step = { text: "Dockerfile", current: 0, total: 0, own: false };

  constructor(followers: BuildFollowers) {
    this.#followers = followers;
  }

  add(text: string): void {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(withoutColours(line));
    while (this.#rest.length > LINE_CHARACTERS) {
      this.#line(this.#rest.slice(0, LINE_CHARACTERS));
      this.#rest = this.#rest.slice(LINE_CHARACTERS);
    }
  }

  failure(words: string): InsienError {
    if (this.#rest !== "") this.#line(this.#rest);
    const { text, current, total } = this.#step;
    this.#keep(words);
    const place = current === 0 ? text : `step ${current}/${total} (${text})`;
    const message = `the build's ${place} failed: ${words}`;
    return new InsienError("build_failed", message, {
      details: { step: text, output: this.#tail },
    });
  }

  #line(line: string): void {
    const [, number, total, text] = /^Step (\d+)\/(\d+) : (.*)$/.exec(line) ?? [];
    if (number !== undefined) this.#begin(text ?? "", Number(total));
    const [, containerId] = /^ ---> Running in ([0-9a-f]+)$/.exec(line) ?? [];
    if (containerId !== undefined) this.#followers.onContainer(containerId);
    if (this.#step.own || isBookkeeping(line)) return;
    const { current, text: step, total: steps } = this.#step;
    const message = number === undefined ? line : `Step ${current}/${steps} : ${step}`;
    this.#keep(message);
    if (message.trim() === "") return;
    const counted = current === 0 ? {} : { current, total: steps };
    this.#followers.onProgress?.({ step: "build", ...counted, message });
  }

  #begin(text: string, total: number): void {
    const own = this.#followers.isOwnStep(text);
    const current = this.#step.current + (own ? 0 : 1);
    const before = own ? this.#step.text : text;
    this.#step = { text: before, current, total: total - this.#followers.ownSteps, own };
  }

  #keep(line: string): void {
    this.#tail = `${this.#tail}${line}\n`.slice(-LIMITS.buildOutputBytes.value);
  }
}

/** The daemon paints what comes from stderr. */
const withoutColours = (line: string): string =>
  line.replaceAll("\u001b[91m", "").replaceAll("\u001b[0m", "");

const isBookkeeping = (line: string): boolean =>
  /^ ---> |^Removing intermediate container |^Successfully (?:built|tagged) /.test(line);
