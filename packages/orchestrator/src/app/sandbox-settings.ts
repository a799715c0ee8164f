import {
  InsienError,
  LIMITS,
  type MainControl,
  type MainStatus,
  type SandboxId,
  jsonBytes,
} from "@insien/protocol";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import { mainCommand } from "./main-command.ts";
import { mainStatusOf } from "./main-event.ts";
import type { MainRecord } from "./main-record.ts";
import { ownedSandbox } from "./owned-sandbox.ts";
import type { Principal } from "./principal.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";
import type { SandboxLines } from "./sandbox-lines.ts";
import type { EntrypointSetting, EnvironmentSetting, Settings } from "./settings.ts";

export interface SandboxSettingsParts {
  store: SandboxRows;
  lines: SandboxLines;
  lifecycle: SandboxLifecycle;
  mains: MainRecord;
}

export class SandboxSettings implements Settings {
  readonly #parts: SandboxSettingsParts;

  constructor(parts: SandboxSettingsParts) {
    this.#parts = parts;
  }

  async environment(principal: Principal, id: SandboxId): Promise<EnvironmentSetting> {
    return this.#environmentOf(await ownedSandbox(this.#parts.store, principal, id));
  }

  async setEnvironment(
    principal: Principal,
    id: SandboxId,
    change: { environment: Record<string, string>; merge: boolean },
  ): Promise<EnvironmentSetting> {
    await ownedSandbox(this.#parts.store, principal, id);
    const row = await this.#parts.lifecycle.configure(id, (before) => {
      const environment = change.merge
        ? { ...before.environment, ...change.environment }
        : change.environment;
      if (jsonBytes(environment) > LIMITS.environmentBytes.value) {
        const bytes = LIMITS.environmentBytes.value;
        throw new InsienError(
          "invalid_request",
          `environment: with what sandbox ${id} has already it is more than ${bytes} bytes in all`,
        );
      }
      if (sameEnvironment(environment, before.environment)) return {};
      return { environment, environmentChangedAt: new Date() };
    });
    return this.#environmentOf(row);
  }

  async entrypoint(principal: Principal, id: SandboxId): Promise<EntrypointSetting> {
    return this.#entrypointOf(await ownedSandbox(this.#parts.store, principal, id));
  }

  async setEntrypoint(
    principal: Principal,
    id: SandboxId,
    change: Parameters<Settings["setEntrypoint"]>[2],
  ): Promise<EntrypointSetting> {
    await ownedSandbox(this.#parts.store, principal, id);
    const row = await this.#parts.lifecycle.configure(id, (before) => {
      const { entrypoint = before.entrypoint, command = before.command } = change;
      const after = { entrypoint: entrypoint ?? undefined, command: command ?? undefined };
      if (sameCommand(before, { ...before, ...after })) return {};
      return { ...after, entrypointChangedAt: new Date() };
    });
    return this.#entrypointOf(row);
  }

  async restartMain(principal: Principal, id: SandboxId): Promise<MainStatus> {
    const row = await ownedSandbox(this.#parts.store, principal, id);
    if (mainCommand(row) !== undefined) return this.#control(principal, id, { action: "restart" });
    // One that was taken away ends, and nothing takes its place.
    const state = this.#parts.mains.get(row)?.state;
    if (state === undefined || !GOING_ON.includes(state)) throw withoutMain(id);
    return this.#control(principal, id, { action: "stop" });
  }

  async stopMain(
    principal: Principal,
    id: SandboxId,
    options: { graceMs?: number } = {},
  ): Promise<MainStatus> {
    const row = await ownedSandbox(this.#parts.store, principal, id);
    // One that was taken away may still run.
    if (mainCommand(row) === undefined && this.#parts.mains.get(row) === undefined) {
      throw withoutMain(id);
    }
    return this.#control(principal, id, { action: "stop", ...options });
  }

  /** What the agent answers is also told as an event; here it is only passed on. */
  async #control(principal: Principal, id: SandboxId, control: MainControl): Promise<MainStatus> {
    const line = await this.#parts.lines.take(principal, id);
    const status = mainStatusOf(await line.controlMain(control));
    if (status !== undefined) return status;
    throw new InsienError("internal", "The agent's answer says nothing of the main command");
  }

  #environmentOf(row: SandboxRecord): EnvironmentSetting {
    const { environment, environmentChangedAt } = row;
    const restartNeeded = this.#isOlder(row, environmentChangedAt, ["running"]);
    return { environment, restartNeeded };
  }

  #entrypointOf(row: SandboxRecord): EntrypointSetting {
    const { entrypoint, command, entrypointChangedAt } = row;
    // One that waits is started with what is set by then, and goes on where nothing is.
    const states = mainCommand(row) === undefined ? GOING_ON : STARTED;
    const restartNeeded = this.#isOlder(row, entrypointChangedAt, states);
    return { entrypoint, command, restartNeeded };
  }

  /** Whether the main command is in one of `states` since before an instant, on a running machine. */
  #isOlder(
    row: SandboxRecord,
    instant: Date | undefined,
    states: readonly MainStatus["state"][],
  ): boolean {
    const main = this.#parts.mains.get(row);
    if (row.state !== "running" || main === undefined || instant === undefined) return false;
    return states.includes(main.state) && new Date(main.changed_at) < instant;
  }
}

const STARTED: readonly MainStatus["state"][] = ["running", "exited", "failed", "stopped"];
const GOING_ON: readonly MainStatus["state"][] = ["running", "waiting"];

function sameEnvironment(one: Record<string, string>, other: Record<string, string>): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length && names.every((name) => one[name] === other[name])
  );
}

const sameCommand = (one: SandboxRecord, other: SandboxRecord): boolean =>
  JSON.stringify(mainCommand(one)) === JSON.stringify(mainCommand(other)) &&
  JSON.stringify([one.entrypoint, one.command]) ===
    JSON.stringify([other.entrypoint, other.command]);

const withoutMain = (id: SandboxId): InsienError =>
  new InsienError(
    "process_not_found",
    `Sandbox ${id} has no main command: set its entrypoint or command first`,
  );
