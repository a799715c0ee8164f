/** `sandbox.terminals`: pseudo-terminals, each with any number of viewers. */
import type { TerminalInfo } from "@insien/protocol";
import { commandFields, type Command, type CommandOptions } from "../commands/commands.ts";
import type { RequestOptions } from "../configuration.ts";
import type { SessionSource } from "../session.ts";
import { TerminalHandle, type TerminalListeners } from "./terminal-handle.ts";

export interface TerminalOptions
  extends
    Omit<TerminalListeners, "onGap">,
    Pick<CommandOptions, "cwd" | "env" | "user" | "timeoutMs"> {
  /** The user's shell by default. */
  command?: Command | undefined;
  cols?: number | undefined;
  rows?: number | undefined;
  /** A name to find it by in `list`. */
  tag?: string | undefined;
  onGap?: TerminalListeners["onGap"];
}

export class Terminals {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  async open(options: TerminalOptions = {}): Promise<TerminalHandle> {
    const { rpc } = await this.#session(options);
    const { command, cols, rows, tag, cwd, env, user, timeoutMs } = options;
    const fields = commandFields(command, { cwd, env, user, timeoutMs });
    return TerminalHandle.open(rpc, { open: { ...fields, cols, rows, tag } }, options);
  }

  /** Joins a terminal as one more viewer; what it shows comes first. */
  async attach(terminalId: string, listeners: TerminalListeners = {}): Promise<TerminalHandle> {
    const { rpc } = await this.#session(listeners);
    return TerminalHandle.open(rpc, { attach: terminalId }, listeners);
  }

  async list(options: RequestOptions = {}): Promise<TerminalInfo[]> {
    const { rpc } = await this.#session(options);
    return (await rpc.call("terminalList", {}, options)).terminals;
  }
}
