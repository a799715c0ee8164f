import { writeFileSync } from "node:fs";
import type { BindRequest } from "@insien/protocol";
import type { Account, Accounts } from "./processes/accounts.ts";
import type { CommandDefaults } from "./processes/command.ts";

/** What the agent knows of the sandbox that its machine belongs to. */
export class SandboxState {
  readonly #accounts: Accounts;
  #env: Readonly<Record<string, string>> = {};

  constructor(accounts: Accounts) {
    this.#accounts = accounts;
  }

  /** Where relative paths start. */
  get home(): string {
    return this.#accounts.default().home;
  }

  get user(): string {
    return this.#accounts.default().name;
  }

  /** Throws `user_not_found`. */
  resolveUser(name?: string): Account {
    return name === undefined ? this.#accounts.default() : this.#accounts.find(name);
  }

  defaultsFor(user: string | undefined): CommandDefaults {
    return { account: this.resolveUser(user), env: this.#env };
  }

  bind({ env, hostname }: BindRequest): void {
    this.#env = hostname === undefined ? env : { HOSTNAME: hostname, ...env };
    if (hostname !== undefined) setHostname(hostname);
  }
}

/** Most machines may not change their name; then HOSTNAME alone carries it. */
function setHostname(hostname: string): void {
  try {
    writeFileSync("/proc/sys/kernel/hostname", hostname);
  } catch {
    return;
  }
}
