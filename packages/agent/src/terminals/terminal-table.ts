import { accessSync, constants } from "node:fs";
import { InsienError, LIMITS, newId, type RpcRequests } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import type { Account } from "../processes/accounts.ts";
import type { Children } from "../processes/children.ts";
import {
  candidates,
  readCommand,
  spawnError,
  type Command,
  type CommandDefaults,
} from "../processes/command.ts";
import { bindPseudoTerminals, type PseudoTerminals } from "./pseudo-terminal.ts";
import { Terminal, terminalNotFound } from "./terminal.ts";

const DEFAULT_SIZE = { cols: 80, rows: 24 };
const SHELLS = ["/bin/bash", "/usr/bin/bash", "/bin/sh"];
const TERMINAL_ENVIRONMENT = { TERM: "xterm-256color", COLORTERM: "truecolor" };

export interface TerminalTableOptions {
  libc: Libc;
  children: Children;
  /** The defaults for a user by name, or for the default user. Throws `user_not_found`. */
  defaultsFor: (user: string | undefined) => CommandDefaults;
  /** Called when a terminal was opened or ended. */
  onChange: () => void;
}

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** The user's shell, unless it is the kind that only says good-bye or plainer than one at hand. */
function shellOf(account: Account): string {
  const own = /\/(?:nologin|false|sh)$/.test(account.shell) ? [] : [account.shell];
  const shell = [...own, ...SHELLS].find(isExecutable);
  if (shell !== undefined) return shell;
  throw new InsienError("command_not_found", "this image has no shell; open the terminal with cmd");
}

/** All terminals that are open. */
export class TerminalTable {
  readonly #options: TerminalTableOptions;
  readonly #terminals = new Map<string, Terminal>();
  #pseudoTerminals: PseudoTerminals | undefined;

  constructor(options: TerminalTableOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#terminals.size;
  }

  list(): Terminal[] {
    return [...this.#terminals.values()];
  }

  find(terminalId: string): Terminal | undefined {
    return this.#terminals.get(terminalId);
  }

  /** Throws `terminal_not_found`. */
  get(terminalId: string): Terminal {
    const found = this.find(terminalId);
    if (found === undefined) throw terminalNotFound(terminalId);
    return found;
  }

  /** Throws the reason when it cannot be opened. */
  open(request: RpcRequests["terminalOpen"]): Terminal {
    if (this.size >= LIMITS.terminalsPerSandbox.value) {
      throw new InsienError("limit_reached", `${this.size} terminals are open, which is the most`);
    }
    const { libc, children, onChange } = this.#options;
    this.#pseudoTerminals ??= bindPseudoTerminals(libc);
    const command = this.#commandOf(request);
    const size = {
      cols: request.cols ?? DEFAULT_SIZE.cols,
      rows: request.rows ?? DEFAULT_SIZE.rows,
    };
    const spawned = this.#spawn(this.#pseudoTerminals, command, size);
    const terminalId = newId();
    const parts = { terminalId, command, spawned, size, tag: request.tag };
    let timeout: NodeJS.Timeout | undefined;
    const terminal = new Terminal(libc, this.#pseudoTerminals, parts, () => {
      clearTimeout(timeout);
      this.#terminals.delete(terminalId);
      onChange();
    });
    const { timeoutMs = 0 } = request;
    if (timeoutMs > 0) timeout = setTimeout(() => terminal.close(), timeoutMs);
    children.watch(spawned.pid, (status) => terminal.exited(status));
    this.#terminals.set(terminalId, terminal);
    onChange();
    return terminal;
  }

  #commandOf(request: RpcRequests["terminalOpen"]): Command {
    const defaults = this.#options.defaultsFor(request.user);
    const isGiven = request.cmd !== undefined || request.shell !== undefined;
    const cmd = isGiven ? request.cmd : shellOf(defaults.account);
    const env = { ...TERMINAL_ENVIRONMENT, ...request.env };
    return readCommand({ ...request, env, ...(cmd === undefined ? {} : { cmd }) }, defaults);
  }

  #spawn(pseudoTerminals: PseudoTerminals, command: Command, size: { cols: number; rows: number }) {
    const { argv, account, cwd } = command;
    const env = Object.entries(command.env).map(([name, value]) => `${name}=${value}`);
    let errno: number | undefined;
    for (const file of candidates(this.#options.libc, command)) {
      const result = pseudoTerminals.spawn({ file, argv, env, cwd, account, ...size });
      if (!("errno" in result)) return result;
      errno = result.errno;
    }
    throw spawnError(command, errno);
  }
}
