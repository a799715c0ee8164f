import type { CommandLine, MainStatus, SandboxId } from "@insien/protocol";
import type { Principal } from "./principal.ts";

export interface EnvironmentSetting {
  environment: Record<string, string>;
  /** The main command runs with an older one. */
  restartNeeded: boolean;
}

export interface EntrypointSetting {
  entrypoint: CommandLine | undefined;
  command: CommandLine | undefined;
  /** The main command that runs, or ran last, is an older one. */
  restartNeeded: boolean;
}

/** What an existing sandbox can be told anew. All throw as `Sandboxes` do. */
export interface Settings {
  environment(principal: Principal, id: SandboxId): Promise<EnvironmentSetting>;
  /** Holds for the next command at once, and stays. Throws `invalid_request` when it is too large. */
  setEnvironment(
    principal: Principal,
    id: SandboxId,
    change: { environment: Record<string, string>; merge: boolean },
  ): Promise<EnvironmentSetting>;
  entrypoint(principal: Principal, id: SandboxId): Promise<EntrypointSetting>;
  /** Holds at the main command's next start. `null` takes away, `undefined` leaves as it is. */
  setEntrypoint(
    principal: Principal,
    id: SandboxId,
    change: { entrypoint?: CommandLine | null; command?: CommandLine | null },
  ): Promise<EntrypointSetting>;
  /** Throws `process_not_found` where there is no main command. */
  restartMain(principal: Principal, id: SandboxId): Promise<MainStatus>;
  stopMain(
    principal: Principal,
    id: SandboxId,
    options?: { graceMs?: number },
  ): Promise<MainStatus>;
}
