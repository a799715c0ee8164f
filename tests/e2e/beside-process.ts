import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { isRunning } from "@insien/test-kit";

const REPOSITORY = resolve(import.meta.dirname, "../..");

/** A process of this product beside a server, on the same data directory. */
export class BesideProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  #output = "";

  constructor(args: readonly string[], env: Record<string, string>) {
    this.#child = spawn(
      process.execPath,
      ["--conditions=source", "packages/orchestrator/src/main.ts", ...args],
      {
        cwd: REPOSITORY,
        stdio: ["ignore", "pipe", "pipe"],
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...env },
      },
    );
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (chunk: Buffer) => (this.#output += String(chunk)));
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with its exit code. */
  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null)
      await once(this.#child, "close");
    return this.#child.exitCode;
  }

  /** As a crash, unless a signal asks for an orderly end. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (isRunning(this.pid)) await this.kill("SIGTERM");
  }
}
