import {
  type CreateSandboxBody,
  type ExecBody,
  InsienError,
  type SandboxId,
  newId,
  newSandboxId,
  parseMemory,
} from "@insien/protocol";
import { pino } from "pino";
import type {
  ApiKey,
  Application,
  CallOptions,
  Nodes,
  Place,
  Sandbox,
} from "../src/app/application.ts";
import type { Principal } from "../src/app/principal.ts";
import type { Webhooks } from "../src/app/webhooks.ts";
import type { Quotas } from "../src/app/quotas.ts";
import type { Mounts, Volumes } from "../src/app/volumes.ts";
import type { UsageHistory } from "../src/app/usage.ts";
import type { Settings } from "../src/app/settings.ts";
import { peopleDouble } from "./people-double.ts";
import { portOwner, portsDouble } from "./ports-double.ts";
import { Cleanup } from "../src/cleanup/cleanup.ts";
import type { AgentConnector } from "../src/line/agent-connector.ts";
import { ServerMetrics } from "../src/metrics/server-metrics.ts";

export const OWNER: Principal = { keyId: "key1", ownerId: "owner1", admin: true };
export const STRANGER: Principal = { keyId: "key2", ownerId: "owner2", admin: false };
export const OWNER_KEY = "insien_owner_5ecret";
export const STRANGER_KEY = "insien_stranger_5ecret";

const NOTHING_USED = { sandboxes: 0, cpu: 0, memory: 0, disk: 0, creates_per_minute: 0 };

function noVolume(name: string): never {
  throw new InsienError("volume_not_found", `There is no volume ${name}`);
}

/** The application in memory: enough of its promises for the doors to be tested against. */
export class ApplicationDouble implements Application {
  readonly stored = new Map<string, Sandbox>();
  /** Signals of the creates so far. */
  readonly createSignals: (AbortSignal | undefined)[] = [];
  connector: AgentConnector | undefined;
  /** Awaited by `create`, for tests that look at what happens meanwhile. */
  creating: Promise<void> = Promise.resolve();
  /** Thrown by the next call of any kind. */
  fail: Error | undefined;
  database: "ok" | "down" = "ok";
  readonly #keys = new Map<string, { principal: Principal; view: ApiKey }>();

  constructor() {
    this.#addKey(OWNER_KEY, OWNER, "first");
    this.#addKey(STRANGER_KEY, STRANGER, "stranger's");
  }

  async health() {
    return { database: this.database, runtime: "fake" };
  }

  readonly keys = {
    authenticate: async (key: string) => this.#keys.get(key)?.principal,
    create: async (by: Principal, body: { name: string; ownerId?: string; admin?: boolean }) => {
      if (!by.admin) throw new InsienError("forbidden", "Only an admin key may make keys");
      const key = `insien_${newId()}`;
      const ownerId = body.ownerId ?? newId();
      const principal = { keyId: newId(), ownerId, admin: body.admin ?? false };
      return { ...this.#addKey(key, principal, body.name), key };
    },
    list: async () => [...this.#keys.values()].map(({ view }) => view),
    revoke: async (_by: Principal, id: string) => {
      const found = [...this.#keys].find(([, { view }]) => view.id === id);
      return found !== undefined && this.#keys.delete(found[0]);
    },
  };

  readonly people = peopleDouble;

  /** Nothing is bounded, and nothing counted. */
  /** Nothing was measured of any sandbox. */
  readonly usage: UsageHistory = {
    history: async (principal, id, { stepSeconds = 5 }) => {
      this.#find(principal, id);
      return { stepSeconds, items: [] };
    },
  };

  readonly metrics = new ServerMetrics();

  readonly maintenance = new Cleanup({ finders: [], log: pino({ level: "silent" }) });

  readonly ports = portsDouble(this.stored, () => this.sandboxes);

  readonly quotas: Quotas = {
    own: async ({ ownerId }) => ({ ownerId, bounds: {}, used: NOTHING_USED }),
    get: async (_by, ownerId) => ({ ownerId, bounds: {}, used: NOTHING_USED }),
    set: async (_by, ownerId) => ({ ownerId, bounds: {}, used: NOTHING_USED }),
    clear: async () => false,
  };

  /** There is none, and none can be made. */
  readonly volumes: Volumes = {
    create: async ({ ownerId }) => {
      throw new InsienError("capability_missing", `Nobody, nor ${ownerId}, has volumes here`);
    },
    list: async () => [],
    get: async (_by, name) => noVolume(name),
    delete: async (_by, name) => noVolume(name),
  };
  readonly mounts: Mounts = {
    list: async (by, id) => (this.#find(by, id), []),
    mount: async (by, id, { volume }) => (this.#find(by, id), noVolume(volume)),
    unmount: async (by, id, name) => (this.#find(by, id), noVolume(name)),
    pathIn: async (by, id, name) => (this.#find(by, id), noVolume(name)),
  };

  /** Kept, but nothing ever needs a restart, and no main command runs. */
  readonly settings: Settings = {
    environment: async (by, id) => ({ ...this.#find(by, id), restartNeeded: false }),
    setEnvironment: async (by, id, { environment, merge }) => {
      const sandbox = this.#find(by, id);
      const kept = merge ? sandbox.environment : {};
      sandbox.environment = { ...kept, ...environment };
      return { environment: sandbox.environment, restartNeeded: false };
    },
    entrypoint: async (by, id) => ({ ...this.#find(by, id), restartNeeded: false }),
    setEntrypoint: async (by, id, change) => {
      const sandbox = this.#find(by, id);
      const { entrypoint = sandbox.entrypoint, command = sandbox.command } = change;
      Object.assign(sandbox, {
        entrypoint: entrypoint ?? undefined,
        command: command ?? undefined,
      });
      return { ...sandbox, restartNeeded: false };
    },
    restartMain: async (by, id) => (this.#find(by, id), noMain(id)),
    stopMain: async (by, id) => (this.#find(by, id), noMain(id)),
  };

  /** `place` is where every sandbox is said to be; `undefined`: here. */
  readonly nodes: Nodes & { id: string; place: Place | undefined } = {
    id: "node1",
    place: undefined,
    locate: async () => this.nodes.place,
    forget: () => undefined,
  };

  /** There are none: what webhooks do is in the database. */
  readonly webhooks: Webhooks = {
    create: async () => noWebhook(),
    list: async () => [],
    get: async () => noWebhook(),
    change: async () => noWebhook(),
    remove: async () => false,
    test: async () => noWebhook(),
    deliveries: async () => noWebhook(),
    replay: async () => noWebhook(),
  };

  readonly sandboxes = {
    create: async (
      principal: Principal,
      body: CreateSandboxBody,
      options: CallOptions & { onProgress?: (progress: { step: string }) => void } = {},
    ) => {
      this.#throwIfAsked();
      this.createSignals.push(options.signal);
      options.onProgress?.({ step: "boot" });
      await this.creating;
      options.signal?.throwIfAborted();
      const sandbox = newSandbox(principal, body);
      this.stored.set(sandbox.id, sandbox);
      await this.ports.running(portOwner(sandbox));
      return sandbox;
    },
    get: async (principal: Principal, id: SandboxId) => this.#find(principal, id),
    list: async (principal: Principal, query: { limit?: number; cursor?: string }) => {
      const all = [...this.stored.values()].filter(({ ownerId }) => ownerId === principal.ownerId);
      const start = Number(query.cursor ?? 0);
      const end = start + (query.limit ?? 50);
      const nextCursor = end < all.length ? String(end) : undefined;
      return { items: all.toReversed().slice(start, end), nextCursor };
    },
    destroy: async (principal: Principal, id: SandboxId) => {
      const sandbox = this.#find(principal, id);
      if (sandbox.state === "destroyed") return false;
      sandbox.state = "destroyed";
      return true;
    },
    stop: async (principal: Principal, id: SandboxId) =>
      Object.assign(this.#find(principal, id), { state: "stopped" as const }),
    start: async (principal: Principal, id: SandboxId) =>
      Object.assign(this.#find(principal, id), { state: "running" as const }),
    restart: async (principal: Principal, id: SandboxId) =>
      Object.assign(this.#find(principal, id), { state: "running" as const }),
    extend: async (principal: Principal, id: SandboxId, change: { idleTimeoutSeconds?: number }) =>
      Object.assign(this.#find(principal, id), change),
    events: async (principal: Principal, id: SandboxId, query: { after?: number }) => {
      const { id: sandboxId } = this.#find(principal, id);
      const sequence = (query.after ?? 0) + 1;
      return [{ sequence, sandboxId, type: "created", at: new Date(), data: { by: "key1" } }];
    },
    exec: async (principal: Principal, id: SandboxId, body: ExecBody) => {
      this.#find(principal, id);
      const stdout = `${body.shell ?? [body.cmd, ...(body.args ?? [])].join(" ")}\n`;
      return { stdout, stderr: "", exit_code: 0, duration_ms: 1 };
    },
    connected: (id: SandboxId) => this.stored.get(id)?.state === "running",
    connect: async (principal: Principal, id: SandboxId): Promise<AgentConnector> => {
      const { state } = this.#find(principal, id);
      if (state !== "running") {
        throw new InsienError("sandbox_state", `Sandbox ${id} is ${state}, not running`);
      }
      if (this.connector !== undefined) return this.connector;
      throw new InsienError("agent_unreachable", `Sandbox ${id} has no agent yet`);
    },
  };

  #find(principal: Principal, id: SandboxId): Sandbox {
    this.#throwIfAsked();
    const sandbox = this.stored.get(id);
    if (sandbox?.ownerId === principal.ownerId) return sandbox;
    throw new InsienError("sandbox_not_found", `Sandbox ${id} does not exist`);
  }

  #throwIfAsked(): void {
    const { fail } = this;
    this.fail = undefined;
    if (fail !== undefined) throw fail;
  }

  /** As API_KEY of the configuration: an administrator's, of whatever form. */
  configureKey(key: string): void {
    this.#addKey(key, { ...OWNER, keyId: newId(), admin: true }, "the configuration's");
  }

  #addKey(key: string, principal: Principal, name: string): ApiKey {
    const view = {
      id: principal.keyId,
      name,
      ownerId: principal.ownerId,
      prefix: key.slice(0, 10),
      admin: principal.admin,
      createdAt: new Date(),
      lastUsedAt: undefined,
    };
    this.#keys.set(key, { principal, view });
    return view;
  }
}

function noWebhook(): never {
  throw new InsienError("webhook_not_found", "There are no webhooks");
}

function noMain(id: SandboxId): never {
  throw new InsienError("process_not_found", `Sandbox ${id} has no main command`);
}

function newSandbox(principal: Principal, body: CreateSandboxBody): Sandbox {
  const now = new Date();
  return {
    id: newSandboxId(),
    ownerId: principal.ownerId,
    name: body.name,
    template: body.template ?? "base",
    image: body.image,
    state: "running",
    stateReason: undefined,
    runtime: "fake",
    limits: {
      cpu: body.resources?.cpu ?? 1,
      memoryBytes: parseMemory(body.resources?.memory ?? "512m") ?? 0,
      pids: body.resources?.pids ?? 512,
    },
    network: body.network ?? "none",
    readOnly: body.read_only ?? false,
    gpu: undefined,
    entrypoint: body.entrypoint,
    command: body.command,
    maxRetries: body.resources?.max_retries ?? 0,
    main: undefined,
    metadata: body.metadata ?? {},
    environment: body.environment ?? {},
    createdAt: now,
    startedAt: now,
    endedAt: undefined,
    expiresAt: undefined,
    idleTimeoutSeconds: body.idle_timeout_seconds ?? 0,
    lastActivityAt: now,
  };
}
