import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { dockerAnswers } from "./machine/docker-daemon.mjs";
import { say } from "./machine/speech.mjs";

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;
const POLL_MS = 200;
const LOG_LINES_SHOWN = 8;

/** A Docker daemon for as long as the tests run: the machine's own, or one started here. */
export class DockerDaemon implements AsyncDisposable {
  readonly #logPath: string;
  #started: ChildProcess | undefined;

  constructor(options: { logPath: string }) {
    this.#logPath = options.logPath;
  }

  /** Starts a daemon where none answers. Tells when that cannot be; the tests then say what they lack. */
  async ensure(): Promise<void> {
    if (await dockerAnswers()) return;
    if (process.getuid?.() !== 0) {
      say("note: no Docker daemon answers, and only root can start one");
      return;
    }
    say(`· starting dockerd (log: ${this.#logPath})`);
    const log = openSync(this.#logPath, "w");
    const child = spawn("dockerd", [], { stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    child.unref();
    this.#started = child;
    const failure = await this.#untilAnswering(child);
    if (failure === undefined) return;
    const lines = readFileSync(this.#logPath, "utf8").trim().split("\n").slice(-LOG_LINES_SHOWN);
    say(`note: dockerd ${failure}:\n  ${lines.join("\n  ")}`);
  }

  async #untilAnswering(child: ChildProcess): Promise<string | undefined> {
    let ended: string | undefined;
    child.once("error", (error) => (ended = `could not be started (${error.message})`));
    child.once("exit", (code) => (ended = `exited with ${code}`));
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (performance.now() < deadline) {
      if (ended !== undefined) return ended;
      if (await dockerAnswers()) return undefined;
      await sleep(POLL_MS);
    }
    return `did not answer within ${START_TIMEOUT_MS / 1000} s`;
  }

  /** Stops the daemon if it was started here. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#started;
    this.#started = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    // Node would not wait for a child that was let go of.
    child.ref();
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}
