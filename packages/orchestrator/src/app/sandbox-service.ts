import {
  type CreateSandboxBody,
  type ExecAnswer,
  type ExecBody,
  InsienError,
  type SandboxId,
  type SandboxState,
} from "@insien/protocol";
import type { Progress, RuntimeCapabilities } from "@insien/runtime";
import type { EventRows, SandboxRecord, SandboxRows } from "../db/index.ts";
import { callAgent } from "../line/agent-call.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import type { CallOptions, Sandbox, SandboxEvent, Sandboxes } from "./application.ts";
import { type SandboxDefaults, assertPossible, requestOf } from "./create-defaults.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import { ofStoppedMachine } from "./main-event.ts";
import type { MainRecord } from "./main-record.ts";
import { ownedSandbox } from "./owned-sandbox.ts";
import type { Principal } from "./principal.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";
import type { SandboxLines } from "./sandbox-lines.ts";

export interface SandboxServiceParts {
  store: SandboxRows;
  events: EventRows;
  live: LiveSandboxes;
  lines: SandboxLines;
  mains: MainRecord;
  lifecycle: SandboxLifecycle;
  defaults: SandboxDefaults;
  capabilities: RuntimeCapabilities;
}

/** What callers may do with sandboxes: finds theirs, fills in defaults, and hands on to the lifecycle. */
export class SandboxService implements Sandboxes {
  readonly #parts: SandboxServiceParts;

  constructor(parts: SandboxServiceParts) {
    this.#parts = parts;
  }

  async create(
    principal: Principal,
    body: CreateSandboxBody,
    options: CallOptions & { onProgress?: (progress: Progress) => void } = {},
  ): Promise<Sandbox> {
    const { lifecycle, defaults, capabilities } = this.#parts;
    const request = requestOf(body, principal.ownerId, defaults);
    assertPossible(request, capabilities);
    return this.#shown(await lifecycle.create(request, options));
  }

  async get(principal: Principal, id: SandboxId): Promise<Sandbox> {
    return this.#shown(await this.#owned(principal, id));
  }

  async list(
    principal: Principal,
    query: { state?: SandboxState; limit?: number; cursor?: string },
  ): ReturnType<Sandboxes["list"]> {
    const { items, nextCursor } = await this.#parts.store.list(principal.ownerId, query);
    return { items: items.map((row) => this.#shown(row)), nextCursor };
  }

  async destroy(principal: Principal, id: SandboxId): Promise<boolean> {
    const row = await this.#owned(principal, id, { destroyed: "found" });
    return row.state === "destroyed" ? false : this.#parts.lifecycle.destroy(id);
  }

  async stop(
    principal: Principal,
    id: SandboxId,
    options: { graceMs?: number } = {},
  ): Promise<Sandbox> {
    await this.#owned(principal, id);
    this.#needStopStart();
    return this.#shown(await this.#parts.lifecycle.stop(id, options));
  }

  async start(principal: Principal, id: SandboxId): Promise<Sandbox> {
    await this.#owned(principal, id);
    this.#needStopStart();
    return this.#shown(await this.#parts.lifecycle.start(id));
  }

  async restart(
    principal: Principal,
    id: SandboxId,
    options: { graceMs?: number } = {},
  ): Promise<Sandbox> {
    await this.#owned(principal, id);
    this.#needStopStart();
    return this.#shown(await this.#parts.lifecycle.restart(id, options));
  }

  async extend(
    principal: Principal,
    id: SandboxId,
    change: { ttlSeconds?: number; idleTimeoutSeconds?: number },
  ): Promise<Sandbox> {
    await this.#owned(principal, id);
    return this.#shown(await this.#parts.lifecycle.extend(id, change));
  }

  async events(
    principal: Principal,
    id: SandboxId,
    query: { after?: number; limit?: number },
  ): Promise<SandboxEvent[]> {
    await this.#owned(principal, id, { destroyed: "found" });
    return this.#parts.events.list(id, query);
  }

  async exec(
    principal: Principal,
    id: SandboxId,
    body: ExecBody,
    options: CallOptions = {},
  ): Promise<ExecAnswer> {
    const connector = await this.connect(principal, id, options);
    const answer = await callAgent(
      connector,
      "exec",
      {
        cmd: body.cmd,
        args: body.args,
        shell: body.shell,
        cwd: body.cwd,
        env: body.environment,
        user: body.user,
        stdin: body.stdin,
        timeoutMs:
          body.timeout_seconds === undefined ? undefined : Math.round(body.timeout_seconds * 1000),
      },
      options,
    );
    this.#parts.live.touch(id);
    return {
      stdout: answer.stdout,
      stderr: answer.stderr,
      exit_code: answer.exitCode,
      duration_ms: answer.durationMs,
      ...(answer.signal === undefined ? {} : { signal: answer.signal }),
      ...(answer.truncated === undefined
        ? {}
        : {
            truncated: {
              stdout_bytes: answer.truncated.stdoutBytes,
              stderr_bytes: answer.truncated.stderrBytes,
            },
          }),
    };
  }

  connected(id: SandboxId): boolean {
    return this.#parts.lines.isUp(id);
  }

  connect(principal: Principal, id: SandboxId, options: CallOptions = {}): Promise<AgentConnector> {
    return this.#parts.lines.take(principal, id, options);
  }

  #needStopStart(): void {
    if (this.#parts.capabilities.stopStart) return;
    throw new InsienError(
      "capability_missing",
      "This server's runtime cannot stop a sandbox and keep its files",
    );
  }

  #owned(
    principal: Principal,
    id: SandboxId,
    options: { destroyed?: "found" } = {},
  ): Promise<SandboxRecord> {
    return ownedSandbox(this.#parts.store, principal, id, options);
  }

  /** With what its main command does at this moment, which is written down a little later. */
  #shown(row: SandboxRecord): Sandbox {
    const main = this.#parts.mains.get(row);
    const isAway = row.state !== "running" && row.state !== "creating";
    if (main === undefined || !isAway) return { ...row, main };
    return { ...row, main: ofStoppedMachine(main, row.endedAt ?? new Date(main.changed_at)) };
  }
}
