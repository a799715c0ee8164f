import { InsienError, LIMITS, type ErrorBody, type ProcessInfo } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import type { Command } from "./command.ts";
import { Input } from "./input.ts";
import { Output } from "./output.ts";
import { readWaitStatus, type Ending } from "./signals.ts";
import type { Spawned } from "./spawn.ts";

export interface ProcessOptions {
  background: boolean;
  timeoutMs?: number;
  tag?: string;
}

export type ProcessEnd = Ending & {
  at: Date;
  durationMs: number;
  error?: ErrorBody;
  stdoutBytes: number;
  stderrBytes: number;
};

const SIGTERM = 15;
const SIGKILL = 9;

/** A command from its start until it is forgotten. */
export class RunningProcess {
  readonly processId: string;
  readonly pid: number;
  readonly command: Command;
  readonly options: ProcessOptions;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Input | undefined;
  /** Set once it has ended: its main process is gone and its output complete. */
  end: ProcessEnd | undefined;
  readonly #libc: Libc;
  readonly #startedAt = new Date();
  readonly #started = performance.now();
  readonly #whenEnded = new Set<(end: ProcessEnd) => void>();
  readonly #timeout: NodeJS.Timeout | undefined;
  #killTimer: NodeJS.Timeout | undefined;
  #timedOut = false;
  #exit: Ending | undefined;
  #openOutputs = 2;

  constructor(
    libc: Libc,
    { processId, command, spawned }: { processId: string; command: Command; spawned: Spawned },
    options: ProcessOptions,
  ) {
    this.#libc = libc;
    this.processId = processId;
    this.pid = spawned.pid;
    this.command = command;
    this.options = options;
    const outputClosed = (): void => this.#outputClosed();
    this.stdout = new Output(libc, spawned.stdout, outputClosed);
    this.stderr = new Output(libc, spawned.stderr, outputClosed);
    this.stdin = spawned.stdin === undefined ? undefined : new Input(spawned.stdin);
    const { timeoutMs = 0 } = options;
    if (timeoutMs > 0) this.#timeout = setTimeout(() => this.#timeOut(), timeoutMs);
  }

  /** Calls back once it has ended, at once when it has already. The function given back forgets it. */
  whenEnded(callback: (end: ProcessEnd) => void): () => void {
    if (this.end === undefined) this.#whenEnded.add(callback);
    else callback(this.end);
    return () => void this.#whenEnded.delete(callback);
  }

  /** To the whole process group; `false` when nothing of it is left. */
  kill(signal: number): boolean {
    return this.end === undefined && this.#libc.kill(-this.pid, signal);
  }

  /** SIGTERM, and SIGKILL for what is left after `killGraceMs`. */
  terminate(): void {
    if (this.#killTimer !== undefined || this.end !== undefined) return;
    this.kill(SIGTERM);
    this.#killTimer = setTimeout(() => this.kill(SIGKILL), LIMITS.killGraceMs.value);
  }

  /** Called with the wait status of the main process. */
  exited(status: number): void {
    this.#exit = readWaitStatus(status);
    clearTimeout(this.#timeout);
    if (this.#openOutputs === 0) this.#finish();
    else this.#awaitOutput();
  }

  /** Forgets what an ended command printed, to make room for others. */
  dropOutput(): void {
    this.stdout.ring.clear();
    this.stderr.ring.clear();
  }

  info(): ProcessInfo {
    const { end, options } = this;
    return {
      processId: this.processId,
      pid: this.pid,
      command: [...this.command.argv],
      cwd: this.command.cwd,
      user: this.command.account.name,
      ...(options.tag === undefined ? {} : { tag: options.tag }),
      background: options.background,
      startedAt: this.#startedAt.toISOString(),
      stdoutBytes: end?.stdoutBytes ?? this.stdout.ring.end,
      stderrBytes: end?.stderrBytes ?? this.stderr.ring.end,
      ...(end === undefined ? {} : { ended: endedInfo(end) }),
    };
  }

  #outputClosed(): void {
    this.#openOutputs -= 1;
    if (this.#openOutputs === 0 && this.#exit !== undefined) this.#finish();
  }

  /** Gives output `drainAfterExitMs` of unhindered reading to end. */
  #awaitOutput(): void {
    const timer = setTimeout(() => {
      if (this.end !== undefined) return;
      if (this.stdout.waiting || this.stderr.waiting) this.#awaitOutput();
      else this.#finish();
    }, LIMITS.drainAfterExitMs.value);
    this.whenEnded(() => clearTimeout(timer));
  }

  #timeOut(): void {
    this.#timedOut = true;
    this.terminate();
  }

  #finish(): void {
    clearTimeout(this.#killTimer);
    const end: ProcessEnd = {
      ...this.#exit,
      at: new Date(),
      durationMs: performance.now() - this.#started,
      ...(this.#timedOut ? { error: this.#timeoutError().toBody() } : {}),
      stdoutBytes: this.stdout.ring.end,
      stderrBytes: this.stderr.ring.end,
    };
    this.end = end;
    this.stdin?.abandon();
    this.stdout.discard();
    this.stderr.discard();
    for (const callback of this.#whenEnded) callback(end);
    this.#whenEnded.clear();
  }

  #timeoutError(): InsienError {
    const { timeoutMs } = this.options;
    const message = `"${this.command.argv[0]}" ran longer than its timeoutMs of ${timeoutMs} ms and was ended`;
    return new InsienError("command_timeout", message, {
      details: { timeoutMs, processId: this.processId },
    });
  }
}

function endedInfo(end: ProcessEnd): NonNullable<ProcessInfo["ended"]> {
  const { at, exitCode, signal, error } = end;
  return {
    at: at.toISOString(),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(signal === undefined ? {} : { signal }),
    ...(error === undefined ? {} : { error }),
  };
}
