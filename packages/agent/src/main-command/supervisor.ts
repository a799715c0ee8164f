import { InsienError, LIMITS, type AgentEvent, type MainCommand } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import type { OutputReader } from "../processes/output.ts";
import type { ProcessTable } from "../processes/process-table.ts";
import type { ProcessEnd, RunningProcess } from "../processes/running-process.ts";
import { HEADROOM_BYTES } from "../rpc/web-socket-rpc-connection.ts";
import type { Log } from "./log.ts";
import { restartPauseMs } from "./restart-pause.ts";

export type MainEvent = Extract<AgentEvent, { type: "main" }>;

export interface SupervisorParts {
  table: ProcessTable;
  libc: Libc;
  log: Log;
  report: (event: MainEvent) => void;
}

/** How one run ended, or why there was none. */
type Outcome = Pick<MainEvent, "exitCode" | "signal" | "error">;

const SIGTERM = 15;
const SIGKILL = 9;
/** Marks the main command in the list of processes. */
const TAG = "main";

/**
 * Runs the sandbox's main command: a command of the process table like any other, so that it is
 * listed, can be attached to and counts as activity, which is started again when it fails. It runs
 * as the sandbox's default user in its home, each time with the environment that is bound by then.
 *
 * A run counts against `maxRetries` however long it lasted; one of `mainSteadyMs` only makes the
 * next pause short again. While it waits for its next start it does not count as activity.
 */
export class Supervisor {
  readonly #parts: SupervisorParts;
  #main: MainCommand | undefined;
  #process: RunningProcess | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopping = false;
  #closed = false;
  #restarts = 0;
  #failuresInARow = 0;
  #status: MainEvent | undefined;
  /** Starts and stops that were asked for happen one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
  }

  /** The last change; `undefined` before the first start. */
  get status(): MainEvent | undefined {
    return this.#status;
  }

  /**
   * What a binding brings: the first one starts it. After that nothing is started or ended by a
   * binding; another command is what the next start takes.
   */
  bind(main: MainCommand): void {
    const isFirst = this.#main === undefined;
    this.#main = main;
    if (isFirst && !this.#closed) this.#begin();
  }

  /** Starts it with all its retries. A running one is left alone when it is the same command. */
  start(main: MainCommand): Promise<MainEvent> {
    return this.#inTurn(async () => {
      const running = this.#process?.command.argv;
      this.#main = main;
      if (running !== undefined && sameWords(running, main.argv)) return;
      await this.#end(LIMITS.killGraceMs.value);
      this.#begin();
    });
  }

  /** Ends it where it runs and starts it with all its retries. */
  restart(graceMs: number = LIMITS.killGraceMs.value): Promise<MainEvent> {
    return this.#inTurn(async () => {
      await this.#end(graceMs);
      this.#begin();
    });
  }

  /** SIGTERM to its process group, SIGKILL after `graceMs`. Resolves once it has ended. */
  stop(graceMs: number = LIMITS.killGraceMs.value): Promise<MainEvent> {
    return this.#inTurn(() => this.#end(graceMs));
  }

  /** Starts nothing any more: the sandbox ends, and the main command with it. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
  }

  async #inTurn(act: () => Promise<void>): Promise<MainEvent> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => undefined);
    await done;
    if (this.#status !== undefined) return this.#status;
    throw new InsienError("process_not_found", "this sandbox has no main command");
  }

  async #end(graceMs: number): Promise<void> {
    const running = this.#process;
    if (running === undefined) {
      clearTimeout(this.#retry);
      if (this.#status?.state === "waiting") this.#become("stopped", {});
      return;
    }
    this.#stopping = true;
    running.kill(SIGTERM);
    const timer = setTimeout(() => running.kill(SIGKILL), graceMs);
    await new Promise((resolve) => running.whenEnded(resolve));
    clearTimeout(timer);
  }

  #begin(): void {
    clearTimeout(this.#retry);
    this.#restarts = 0;
    this.#failuresInARow = 0;
    this.#run();
  }

  #run(): void {
    const main = this.#main;
    if (main === undefined || this.#closed) return;
    const [cmd = "", ...args] = main.argv;
    this.#stopping = false;
    try {
      const process = this.#parts.table.start({ cmd, args }, { background: true, tag: TAG });
      this.#process = process;
      process.stdout.follow(this.#logging("stdout"));
      process.stderr.follow(this.#logging("stderr"));
      this.#parts.log.say(`started ${main.argv.join(" ")}`);
      this.#become("running", {});
      process.whenEnded((end) => this.#ended(process, end));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#parts.log.say(`could not be started: ${reason}`);
      this.#failed({ error: reason.slice(0, LIMITS.lastWordsBytes.value) });
    }
  }

  /** The log is never full, so it never holds the main command up. */
  #logging(stream: "stdout" | "stderr"): OutputReader {
    return {
      output: (_offset, frame) => this.#parts.log.append(stream, frame.subarray(HEADROOM_BYTES)),
      full: false,
      emptied: () => Promise.resolve(),
    };
  }

  #ended(process: RunningProcess, { exitCode, signal, durationMs }: ProcessEnd): void {
    this.#process = undefined;
    const how = signal === undefined ? `with exit code ${exitCode}` : `by ${signal}`;
    this.#parts.log.say(`ended ${how} after ${(durationMs / 1000).toFixed(1)} s`);
    const outcome: Outcome = {
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(signal === undefined ? {} : { signal }),
    };
    if (exitCode === 0 && !this.#stopping) {
      // What it left in the background may be all that it was for.
      this.#become(this.#closed ? "stopped" : "exited", outcome);
      return;
    }
    // A worker that is left would keep the port that the next run wants.
    this.#parts.libc.kill(-process.pid, SIGKILL);
    if (durationMs >= LIMITS.mainSteadyMs.value) this.#failuresInARow = 0;
    if (this.#stopping || this.#closed) this.#become("stopped", outcome);
    else this.#failed(outcome);
  }

  #failed(outcome: Outcome): void {
    const { maxRetries = 0 } = this.#main ?? {};
    if (this.#restarts >= maxRetries) {
      this.#parts.log.say(
        maxRetries === 0
          ? "not started again: max_retries is 0"
          : `given up after ${this.#restarts} of ${maxRetries} retries`,
      );
      this.#become("failed", outcome);
      return;
    }
    const pauseMs = restartPauseMs(this.#failuresInARow);
    const next = this.#restarts + 1;
    this.#parts.log.say(`starting again in ${pauseMs} ms, retry ${next} of ${maxRetries}`);
    this.#become("waiting", outcome);
    this.#retry = setTimeout(() => {
      this.#restarts = next;
      this.#failuresInARow += 1;
      this.#run();
    }, pauseMs);
  }

  #become(state: MainEvent["state"], outcome: Outcome): void {
    this.#status = {
      type: "main",
      state,
      restarts: this.#restarts,
      maxRetries: this.#main?.maxRetries ?? 0,
      ...outcome,
      at: new Date().toISOString(),
    };
    this.#parts.report(this.#status);
  }
}

const sameWords = (left: readonly string[], right: readonly string[]): boolean =>
  left.length === right.length && left.every((word, index) => word === right[index]);
