import { ReadStream } from "node:tty";
import { InsienError, LIMITS, type RpcNotice, type TerminalInfo } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import type { Command } from "../processes/command.ts";
import { readWaitStatus, type Ending } from "../processes/signals.ts";
import type { RpcConnection } from "../rpc/connection.ts";
import type { PseudoTerminals } from "./pseudo-terminal.ts";
import { Scrollback } from "./scrollback.ts";
import { TerminalInput } from "./terminal-input.ts";
import { Viewer } from "./viewer.ts";

const SIGHUP = 1;
const SIGKILL = 9;

interface TerminalParts {
  terminalId: string;
  command: Command;
  spawned: { pid: number; master: number };
  size: { cols: number; rows: number };
  tag: string | undefined;
}

/** A program on a pseudo-terminal, and those who watch it. It outlives all of them. */
export class Terminal {
  readonly terminalId: string;
  readonly pid: number;
  readonly #libc: Libc;
  readonly #pseudoTerminals: PseudoTerminals;
  readonly #parts: TerminalParts;
  readonly #input: TerminalInput;
  readonly #stream: ReadStream;
  readonly #scrollback = new Scrollback();
  readonly #viewers = new Set<Viewer>();
  readonly #startedAt = new Date();
  readonly #onEnd: () => void;
  #size: { cols: number; rows: number };
  #exit: Ending | undefined;
  #drained = false;
  #ended = false;
  #killTimer: NodeJS.Timeout | undefined;

  constructor(
    libc: Libc,
    pseudoTerminals: PseudoTerminals,
    parts: TerminalParts,
    onEnd: () => void,
  ) {
    this.#libc = libc;
    this.#pseudoTerminals = pseudoTerminals;
    this.#parts = parts;
    this.#onEnd = onEnd;
    this.terminalId = parts.terminalId;
    this.pid = parts.spawned.pid;
    this.#size = parts.size;
    this.#input = new TerminalInput(libc, parts.spawned.master);
    this.#stream = new ReadStream(parts.spawned.master);
    this.#stream.on("data", (chunk: Buffer) => this.#output(chunk));
    // The kernel's way to say that no program holds the other side any more.
    this.#stream.on("error", () => this.#outputEnded());
    this.#stream.on("close", () => this.#outputEnded());
  }

  info(): TerminalInfo {
    const { command, tag } = this.#parts;
    return {
      terminalId: this.terminalId,
      pid: this.pid,
      command: [...command.argv],
      cwd: command.cwd,
      ...this.#size,
      ...(tag === undefined ? {} : { tag }),
      viewers: this.#viewers.size,
      startedAt: this.#startedAt.toISOString(),
    };
  }

  /** Output begins in a later turn, after the answer that names the channel. */
  attach(connection: RpcConnection): Viewer {
    const viewer = new Viewer(connection, this.#scrollback, () => this.#pace());
    this.#viewers.add(viewer);
    const leave = (): void => this.#leave(viewer);
    connection.signal.addEventListener("abort", leave, { once: true });
    queueMicrotask(() => {
      if (!this.#ended) viewer.begin();
    });
    return viewer;
  }

  detach(connection: RpcConnection): void {
    for (const viewer of this.#viewers) {
      if (viewer.connection === connection) this.#leave(viewer);
    }
  }

  /** More input waits than a program that reads would let; the sender should wait, too. */
  get full(): boolean {
    return this.#input.pendingBytes > LIMITS.stdinBufferBytes.value;
  }

  /** Resolves when the kernel took the bytes, or when the terminal ended meanwhile. */
  input(bytes: Uint8Array): Promise<void> {
    return this.#input.write(bytes);
  }

  resize(size: { cols: number; rows: number }): void {
    if (this.#drained) return;
    this.#size = size;
    this.#pseudoTerminals.resize(this.#parts.spawned.master, size);
    const { terminalId } = this;
    this.#notify(() => ({ type: "terminalResized", terminalId, ...size }));
  }

  /** To the program in the foreground, like a key would; `false` when there is none any more. */
  signal(number: number): boolean {
    if (this.#exit !== undefined) return false;
    const foreground = this.#drained
      ? undefined
      : this.#pseudoTerminals.foregroundGroup(this.#parts.spawned.master);
    const group = foreground ?? this.pid;
    return this.#libc.kill(-group, number);
  }

  /** Hangs up, as a closed window does; what ignores that is killed after `killGraceMs`. */
  close(): void {
    if (this.#killTimer !== undefined || this.#exit !== undefined) return;
    this.signal(SIGHUP);
    this.#libc.kill(-this.pid, SIGHUP);
    this.#killTimer = setTimeout(() => {
      this.signal(SIGKILL);
      this.#libc.kill(-this.pid, SIGKILL);
    }, LIMITS.killGraceMs.value);
  }

  /** Called with the wait status of the program. */
  exited(status: number): void {
    this.#exit = readWaitStatus(status);
    clearTimeout(this.#killTimer);
    if (this.#drained) this.#finish();
    else setTimeout(() => this.#outputEnded(), LIMITS.drainAfterExitMs.value);
    this.#stream.resume();
  }

  #output(chunk: Buffer): void {
    this.#scrollback.append(chunk);
    for (const viewer of this.#viewers) viewer.advance();
    this.#pace();
  }

  /** The fastest viewer sets the pace: with all of them behind, the program is made to wait. */
  #pace(): void {
    const viewers = [...this.#viewers];
    const allBehind = viewers.length > 0 && viewers.every((viewer) => viewer.behind);
    if (allBehind && this.#exit === undefined) this.#stream.pause();
    else this.#stream.resume();
  }

  #leave(viewer: Viewer): void {
    if (this.#viewers.delete(viewer)) this.#pace();
  }

  #outputEnded(): void {
    if (this.#drained) return;
    this.#drained = true;
    this.#input[Symbol.dispose]();
    this.#stream.destroy();
    if (this.#exit !== undefined) this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    const { terminalId } = this;
    for (const viewer of this.#viewers) viewer.finish();
    this.#notify(({ channel }) => ({ type: "terminalExit", terminalId, channel, ...this.#exit }));
    this.#viewers.clear();
    this.#onEnd();
  }

  #notify(notice: (viewer: Viewer) => RpcNotice): void {
    for (const viewer of this.#viewers) viewer.connection.notify(notice(viewer));
  }
}

export const terminalNotFound = (terminalId: string): InsienError =>
  new InsienError("terminal_not_found", `there is no terminal ${terminalId}`, {
    details: { terminalId },
  });
