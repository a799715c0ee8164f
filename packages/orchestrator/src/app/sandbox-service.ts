import {
  InsienError,
  LIMITS,
  type CreateSandboxBody,
  type ExecAnswer,
  type ExecBody,
  type SandboxId,
  type SandboxState,
  asSandboxId,
  parseMemory,
} from "@insien/protocol";
import type { MachineLimits, Progress, RuntimeCapabilities } from "@insien/runtime";
import type { EventRows, SandboxRecord, SandboxRows } from "../db/index.ts";
import { callAgent } from "../line/agent-call.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import type { CallOptions, Sandbox, SandboxEvent, Sandboxes } from "./application.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import type { Principal } from "./principal.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";

export interface SandboxDefaults {
  limits: MachineLimits;
  network: "none" | "internet";
  ttlSeconds: number;
  idleTimeoutSeconds: number;
}

/** What callers may do with sandboxes: finds theirs, fills in defaults, and hands on to the lifecycle. */
export class SandboxService implements Sandboxes {
  readonly #store: SandboxRows;
  readonly #events: EventRows;
  readonly #live: LiveSandboxes;
  readonly #lifecycle: SandboxLifecycle;
  readonly #defaults: SandboxDefaults;
  readonly #capabilities: RuntimeCapabilities;

  constructor(parts: {
    store: SandboxRows;
    events: EventRows;
    live: LiveSandboxes;
    lifecycle: SandboxLifecycle;
    defaults: SandboxDefaults;
    capabilities: RuntimeCapabilities;
  }) {
    this.#store = parts.store;
    this.#events = parts.events;
    this.#live = parts.live;
    this.#lifecycle = parts.lifecycle;
    this.#defaults = parts.defaults;
    this.#capabilities = parts.capabilities;
  }

  create(
    principal: Principal,
    body: CreateSandboxBody,
    options: CallOptions & { onProgress?: (progress: Progress) => void } = {},
  ): Promise<Sandbox> {
    const network = body.network ?? this.#defaults.network;
    if (!this.#capabilities.networks.includes(network)) {
      const why = this.#capabilities.notes.find((note) => note.includes("network")) ?? "";
      throw new InsienError(
        "capability_missing",
        `This server's runtime has no '${network}' network. ${why}`.trim(),
      );
    }
    return this.#lifecycle.create(
      {
        id: body.id === undefined ? undefined : asSandboxId(body.id),
        ownerId: principal.ownerId,
        name: body.name,
        template: body.template,
        image: body.image,
        environment: body.environment ?? {},
        metadata: body.metadata ?? {},
        limits: this.#limits(body.resources),
        network,
        readOnly: body.read_only ?? false,
        gpu: body.resources?.gpu,
        entrypoint: body.entrypoint,
        command: body.command,
        maxRetries: body.resources?.max_retries ?? 0,
        volumes: body.volumes ?? {},
        ports: body.ports ?? [],
        build:
          body.build_context === undefined
            ? undefined
            : { context: body.build_context, force: body.force_build ?? false },
        ttlSeconds: body.ttl_seconds ?? body.resources?.timeout ?? this.#defaults.ttlSeconds,
        idleTimeoutSeconds: body.idle_timeout_seconds ?? this.#defaults.idleTimeoutSeconds,
      },
      options,
    );
  }

  get(principal: Principal, id: SandboxId): Promise<Sandbox> {
    return this.#owned(principal, id);
  }

  list(
    principal: Principal,
    query: { state?: SandboxState; limit?: number; cursor?: string },
  ): ReturnType<Sandboxes["list"]> {
    return this.#store.list(principal.ownerId, query);
  }

  async destroy(principal: Principal, id: SandboxId): Promise<boolean> {
    const row = await this.#owned(principal, id, { destroyed: "found" });
    return row.state === "destroyed" ? false : this.#lifecycle.destroy(id);
  }

  async stop(
    principal: Principal,
    id: SandboxId,
    options: { graceMs?: number } = {},
  ): Promise<Sandbox> {
    await this.#owned(principal, id);
    this.#needStopStart();
    return this.#lifecycle.stop(id, options);
  }

  async start(principal: Principal, id: SandboxId): Promise<Sandbox> {
    await this.#owned(principal, id);
    this.#needStopStart();
    return this.#lifecycle.start(id);
  }

  async extend(
    principal: Principal,
    id: SandboxId,
    change: { ttlSeconds?: number; idleTimeoutSeconds?: number },
  ): Promise<Sandbox> {
    await this.#owned(principal, id);
    return this.#lifecycle.extend(id, change);
  }

  async events(
    principal: Principal,
    id: SandboxId,
    query: { after?: number; limit?: number },
  ): Promise<SandboxEvent[]> {
    await this.#owned(principal, id, { destroyed: "found" });
    return this.#events.list(id, query);
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
    this.#live.touch(id);
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
    return this.#live.get(id)?.line.isUp ?? false;
  }

  async connect(
    principal: Principal,
    id: SandboxId,
    options: CallOptions = {},
  ): Promise<AgentConnector> {
    const creating = this.#live.get(id) === undefined ? this.#lifecycle.creating(id) : undefined;
    await creating?.catch(() => undefined);
    const live = this.#live.get(id);
    if (live === undefined) throw await this.#whyNotConnected(principal, id);
    if (live.row.ownerId !== principal.ownerId) throw notFound(id);
    this.#live.touch(id);
    if (!live.line.isUp) await live.line.ready({ timeoutMs: LIMITS.lineTakeMs.value, ...options });
    await live.bound;
    return live.line;
  }

  #limits(resources: CreateSandboxBody["resources"]): MachineLimits {
    const { limits } = this.#defaults;
    return {
      cpu: resources?.cpu ?? limits.cpu,
      memoryBytes:
        resources?.memory === undefined
          ? limits.memoryBytes
          : (parseMemory(resources.memory) ?? limits.memoryBytes),
      pids: resources?.pids ?? limits.pids,
    };
  }

  #needStopStart(): void {
    if (this.#capabilities.stopStart) return;
    throw new InsienError(
      "capability_missing",
      "This server's runtime cannot stop a sandbox and keep its files",
    );
  }

  /** The caller's own sandbox; to everyone else, and once destroyed, it does not exist. */
  async #owned(
    principal: Principal,
    id: SandboxId,
    options: { destroyed?: "found" } = {},
  ): Promise<SandboxRecord> {
    const row = await this.#store.get(id);
    if (row === undefined || row.ownerId !== principal.ownerId) throw notFound(id);
    if (row.state === "destroyed" && options.destroyed !== "found") throw notFound(id);
    return row;
  }

  async #whyNotConnected(principal: Principal, id: SandboxId): Promise<InsienError> {
    const row = await this.#owned(principal, id);
    switch (row.state) {
      case "failed":
        return new InsienError(
          "sandbox_failed",
          `Sandbox ${id} failed. ${row.stateReason ?? ""}`.trim(),
        );
      case "stopped":
      case "paused":
        return new InsienError("sandbox_state", `Sandbox ${id} is ${row.state}: start it first`);
      case "destroying":
        return new InsienError("sandbox_not_found", `Sandbox ${id} is being destroyed`);
      default:
        return new InsienError(
          "agent_unreachable",
          `Sandbox ${id} is ${row.state} and does not answer yet`,
        );
    }
  }
}

const notFound = (id: SandboxId): InsienError =>
  new InsienError("sandbox_not_found", `There is no sandbox ${id}`);
