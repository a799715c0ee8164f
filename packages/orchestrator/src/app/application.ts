/**
 * What the doors (HTTP, WebSocket, and the facades) may ask of the application. The doors turn
 * requests into these calls and answers into their own form; nothing here knows HTTP.
 */
import type { AgentConnector } from "../line/agent-connector.ts";
import type {
  CommandLine,
  CreateSandboxBody,
  ExecAnswer,
  ExecBody,
  MainStatus,
  SandboxId,
  SandboxState,
} from "@insien/protocol";
import type { Progress } from "@insien/runtime";
import type { Maintenance } from "./maintenance.ts";
import type { Metrics } from "./metrics.ts";
import type { People } from "./people.ts";
import type { Ports } from "./ports.ts";
import type { Principal } from "./principal.ts";
import type { UsageHistory } from "./usage.ts";
import type { Webhooks } from "./webhooks.ts";
import type { Quotas } from "./quotas.ts";
import type { Settings } from "./settings.ts";
import type { Mounts, Volumes } from "./volumes.ts";

export interface Sandbox {
  id: SandboxId;
  ownerId: string;
  name: string | undefined;
  template: string;
  image: string | undefined;
  state: SandboxState;
  stateReason: string | undefined;
  runtime: string;
  limits: { cpu: number; memoryBytes: number; pids: number };
  network: "none" | "internet";
  readOnly: boolean;
  gpu: string | undefined;
  entrypoint: CommandLine | undefined;
  command: CommandLine | undefined;
  maxRetries: number;
  /** Of the main command, as its agent last told. */
  main: MainStatus | undefined;
  metadata: Record<string, string>;
  environment: Record<string, string>;
  createdAt: Date;
  startedAt: Date | undefined;
  endedAt: Date | undefined;
  expiresAt: Date | undefined;
  idleTimeoutSeconds: number;
  lastActivityAt: Date;
}

export interface SandboxEvent {
  sequence: number;
  sandboxId: SandboxId;
  type: string;
  at: Date;
  data: Record<string, unknown>;
}

export interface CallOptions {
  signal?: AbortSignal;
}

/** All throw `InsienError`: `sandbox_not_found` for what does not exist or is another owner's. */
export interface Sandboxes {
  create(
    principal: Principal,
    body: CreateSandboxBody,
    options?: CallOptions & { onProgress?: (progress: Progress) => void },
  ): Promise<Sandbox>;
  get(principal: Principal, id: SandboxId): Promise<Sandbox>;
  /** Newest first. */
  list(
    principal: Principal,
    query: { state?: SandboxState; limit?: number; cursor?: string },
  ): Promise<{ items: Sandbox[]; nextCursor: string | undefined }>;
  /** `false` when it was destroyed already. */
  destroy(principal: Principal, id: SandboxId): Promise<boolean>;
  stop(principal: Principal, id: SandboxId, options?: { graceMs?: number }): Promise<Sandbox>;
  start(principal: Principal, id: SandboxId): Promise<Sandbox>;
  /** Stops and starts it as one act; one that is stopped is only started. */
  restart(principal: Principal, id: SandboxId, options?: { graceMs?: number }): Promise<Sandbox>;
  extend(
    principal: Principal,
    id: SandboxId,
    change: { ttlSeconds?: number; idleTimeoutSeconds?: number },
  ): Promise<Sandbox>;
  events(
    principal: Principal,
    id: SandboxId,
    query: { after?: number; limit?: number },
  ): Promise<SandboxEvent[]>;
  /** Runs one command to its end. */
  exec(
    principal: Principal,
    id: SandboxId,
    body: ExecBody,
    options?: CallOptions,
  ): Promise<ExecAnswer>;
  /** Whether the agent is on its line at this moment. */
  connected(id: SandboxId): boolean;
  /**
   * A way into a running sandbox for a door that pipes bytes: checks owner and state, counts as
   * activity, and hands out line connections of its machine.
   */
  connect(principal: Principal, id: SandboxId, options?: CallOptions): Promise<AgentConnector>;
}

export interface ApiKey {
  id: string;
  name: string;
  ownerId: string;
  prefix: string;
  admin: boolean;
  createdAt: Date;
  lastUsedAt: Date | undefined;
}

export interface Keys {
  /** `undefined` for a key that is unknown or revoked. */
  authenticate(key: string): Promise<Principal | undefined>;
  create(
    principal: Principal,
    body: { name: string; ownerId?: string; admin?: boolean },
  ): Promise<ApiKey & { key: string }>;
  list(principal: Principal): Promise<ApiKey[]>;
  revoke(principal: Principal, id: string): Promise<boolean>;
}

/** Where a sandbox's machine is, when that is not here. */
export interface Place {
  nodeId: string;
  /** Where that node is reached; `undefined` while it gives no sign of life. */
  url: string | undefined;
}

/** The orchestrators that share the database. */
export interface Nodes {
  /** Of this one. */
  readonly id: string;
  /** `undefined` when this node can answer for the sandbox itself, if only that there is none. */
  locate(principal: Principal, id: SandboxId): Promise<Place | undefined>;
  /** A node did not answer where it was said to be: ask anew. */
  forget(nodeId: string): void;
}

export interface Application {
  sandboxes: Sandboxes;
  settings: Settings;
  keys: Keys;
  people: People;
  nodes: Nodes;
  webhooks: Webhooks;
  ports: Ports;
  quotas: Quotas;
  volumes: Volumes;
  mounts: Mounts;
  usage: UsageHistory;
  metrics: Metrics;
  maintenance: Maintenance;
  /** For `/health`: a question to the database and the runtime's name. */
  health(): Promise<{ database: "ok" | "down"; runtime: string }>;
}
