import { readFileSync, readdirSync } from "node:fs";

const EVERY_MS = 250;
const MIB = 1024 * 1024;

/** Looks at an orchestrator all the time: its memory, its descriptors, and how fast it answers. */
export class OrchestratorWatch implements Disposable {
  readonly #pid: number;
  readonly #probe: () => Promise<unknown>;
  readonly #timer: NodeJS.Timeout;
  readonly #residentBefore: number;
  readonly #failures: string[] = [];
  #resident = 0;
  #descriptors = 0;
  #slowestMs = 0;
  #answers = 0;
  #asking = false;

  constructor(pid: number, probe: () => Promise<unknown>) {
    this.#pid = pid;
    this.#probe = probe;
    this.#residentBefore = residentBytes(pid);
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  seen() {
    return {
      growthMiB: Math.round((this.#resident - this.#residentBefore) / MIB),
      descriptors: this.#descriptors,
      slowestMs: Math.round(this.#slowestMs),
      answers: this.#answers,
      failures: this.#failures,
    };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    this.#resident = Math.max(this.#resident, residentBytes(this.#pid));
    this.#descriptors = Math.max(this.#descriptors, descriptorsOf(this.#pid));
    if (this.#asking) return;
    this.#asking = true;
    const begun = performance.now();
    await this.#probe().then(
      () => (this.#answers += 1),
      (error: unknown) => this.#failures.push(String(error)),
    );
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - begun);
    this.#asking = false;
  }
}

/** 0 when the process is gone; that shows in the probe. */
function residentBytes(pid: number): number {
  try {
    return (
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024
    );
  } catch {
    return 0;
  }
}

function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}
