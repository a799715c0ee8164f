import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { PreparedTemplate, Runtime, Template } from "@insien/runtime";
import type { Logger } from "pino";
import type { Belongings } from "./app/belongings.ts";
import { Accounts } from "./app/accounts.ts";
import { boundedRows, ofCreate } from "./app/bounded-rows.ts";
import { ApiKeys } from "./app/keys.ts";
import { ExecutionRecord } from "./app/execution-record.ts";
import { LiveSandboxes } from "./app/live-sandboxes.ts";
import { MachineFactory } from "./app/machine-factory.ts";
import { MainRecord } from "./app/main-record.ts";
import { MachinePool } from "./app/machine-pool.ts";
import type { Maintenance } from "./app/maintenance.ts";
import { NodeDirectory } from "./app/node-directory.ts";
import { OidcSignIn } from "./app/oidc-sign-in.ts";
import { Passwords } from "./app/passwords.ts";
import { PersonSessions } from "./app/person-sessions.ts";
import { OwnerQuotas } from "./app/quotas.ts";
import { SandboxLifecycle } from "./app/sandbox-lifecycle.ts";
import { SandboxLines } from "./app/sandbox-lines.ts";
import type { SandboxPorts } from "./app/sandbox-ports.ts";
import { SandboxService } from "./app/sandbox-service.ts";
import { SandboxVolumes } from "./app/sandbox-volumes.ts";
import { SandboxSettings } from "./app/sandbox-settings.ts";
import { TemplateCatalog } from "./app/template-catalog.ts";
import { VolumeCatalog } from "./app/volume-catalog.ts";
import { VolumeMounts } from "./app/volume-mounts.ts";
import { VolumeStorage } from "./app/volume-storage.ts";
import { OwnedWebhooks } from "./app/webhooks.ts";
import { SandboxUsage } from "./app/usage.ts";
import type { Config } from "./config.ts";
import type { Database } from "./db/index.ts";
import { type HttpAddress, type HttpServer, createHttpServer } from "./http/server.ts";
import packageJson from "../package.json" with { type: "json" };
import { serverFamilies } from "./metrics/server-series.ts";
import type { ServerMetrics } from "./metrics/server-metrics.ts";
import { nodeUrlOf } from "./node-url.ts";
import { publishPorts } from "./port-publishing.ts";
import { LineServer } from "./line/line-server.ts";
import { Expiry } from "./reconcile/expiry.ts";
import { PoolAdoption } from "./reconcile/pool-adoption.ts";
import { Reconciler } from "./reconcile/reconciler.ts";
import { namesInside } from "./webhooks/public-address.ts";
import { WebhookDeliverer } from "./webhooks/webhook-deliverer.ts";

/** How long a pool waits for the warm machines of an earlier process before it makes its own. */
const ADOPTION_MS = 2_000;

export interface ServerParts {
  config: Config;
  database: Database;
  runtime: Runtime;
  /** The first is what the warm pool holds. */
  templates: readonly [Template, ...Template[]];
  nodeId: string;
  /** The administrator's key. */
  apiKey: string;
  metrics: ServerMetrics;
  maintenance: Maintenance;
  log: Logger;
}

/**
 * The orchestrator, put together from a database and a runtime. Ready when `start` returns: every
 * sandbox that ran before can be reached, and the doors are open. The warm pool fills afterwards.
 */
export class Server implements AsyncDisposable {
  readonly #parts: ServerParts;
  readonly #lines: LineServer;
  readonly #pool: MachinePool;
  readonly #templates: TemplateCatalog;
  readonly #record: ExecutionRecord;
  readonly #mains: MainRecord;
  readonly #lifecycle: SandboxLifecycle;
  readonly #live: LiveSandboxes;
  readonly #reconciler: Reconciler;
  readonly #keys: ApiKeys;
  readonly #nodes: NodeDirectory;
  readonly #quotas: OwnerQuotas;
  readonly #storage: VolumeStorage;
  readonly #mounts: VolumeMounts;
  readonly #ports: SandboxPorts;
  #pooled: PreparedTemplate | undefined;
  #http: HttpServer | undefined;
  #expiry: Expiry | undefined;
  #webhooks: WebhookDeliverer | undefined;

  constructor(parts: ServerParts) {
    this.#parts = parts;
    const { config, database, runtime, nodeId, log } = parts;
    this.#quotas = new OwnerQuotas(database.quotas, config.quotas);
    const store = boundedRows(database.sandboxes, this.#quotas);
    this.#keys = new ApiKeys(database.apiKeys, { nodeId, log });
    this.#lines = new LineServer({
      dataDirectory: config.dataDirectory,
      jwtSecret: config.jwtSecret,
    });
    const factory = new MachineFactory(runtime, this.#lines);
    this.#pool = new MachinePool(factory, {
      parallelRefills: availableParallelism(),
      maximum: config.poolMaximum,
      log,
    });
    this.#templates = new TemplateCatalog(runtime, parts.templates);
    this.#record = new ExecutionRecord(database.events, log);
    this.#mains = new MainRecord(database.sandboxes, log);
    this.#live = new LiveSandboxes(
      { executions: this.#record, mains: this.#mains },
      (machineId) => void this.#lifecycle.examine(machineId),
    );
    this.#nodes = new NodeDirectory({
      nodeId,
      nodes: database.nodes,
      store,
      // The embedded database is open in one process at a time.
      isAlone: database.kind === "embedded",
      isHere: (id) =>
        this.#live.get(id) !== undefined || this.#lifecycle.creating(id) !== undefined,
      log,
    });
    const common = { store, runtime, lines: this.#lines, factory, pool: this.#pool, nodeId, log };
    const volumes = { rows: database.volumes, quotas: this.#quotas, events: database.events };
    this.#storage = new VolumeStorage({ rows: database.volumes, runtime, nodeId, log });
    this.#ports = publishPorts({ config, database, live: this.#live, nodeId, log });
    const belongings: Belongings[] = [
      { check: (request) => this.#quotas.assertRoom(request.ownerId, ofCreate(request)) },
      new SandboxVolumes({ ...volumes, storage: this.#storage }),
      this.#ports,
    ];
    this.#lifecycle = new SandboxLifecycle(
      {
        ...common,
        templates: this.#templates,
        belongings,
        onCreate: (create) => parts.metrics.created(create),
      },
      this.#live,
    );
    const { store: sandboxes } = common;
    const mounting = { ...volumes, store: sandboxes, lifecycle: this.#lifecycle };
    this.#mounts = new VolumeMounts({ ...mounting, storage: this.#storage });
    const adoption = new PoolAdoption(this.#pool, factory, this.#lines, () => {
      if (config.poolSize === 0) return "nothing";
      if (this.#pooled === undefined) return "nothing yet";
      return { template: this.#pooled, limits: config.limits };
    });
    this.#reconciler = new Reconciler({
      ...common,
      adoption,
      storage: this.#storage,
      lifecycle: this.#lifecycle,
      live: this.#live,
    });
  }

  /** What is counted elsewhere and read when somebody asks. */
  #addMetrics(): void {
    const { metrics, database, runtime } = this.#parts;
    const state = {
      version: packageJson.version,
      runtime: runtime.name,
      database: () => database.health(),
      pools: () => this.#pool.sizes,
      lines: () => this.#lines.counts,
    };
    metrics.add(() => serverFamilies(state));
  }

  #accounts(): Accounts {
    const { config, database, log } = this.#parts;
    const { users, sessions } = database;
    const { jwtSecret } = config;
    const oidc = config.oidc && new OidcSignIn(config.oidc, { jwtSecret, log });
    return new Accounts({
      ...config.people,
      rows: users,
      sessions: new PersonSessions({ rows: sessions, users, jwtSecret, log }),
      passwords: new Passwords(),
      oidc,
      onKeysChanged: () => this.#keys.forgetAll(),
    });
  }

  async start(): Promise<HttpAddress> {
    const { config, database, runtime, nodeId, log } = this.#parts;
    const store = database.sandboxes;
    this.#addMetrics();
    await this.#keys.bootstrap(this.#parts.apiKey);
    await this.#reconciler.start();
    this.#expiry = new Expiry({
      store,
      live: this.#live,
      lifecycle: this.#lifecycle,
      nodeId,
      retentionMs: config.worker.recordRetentionMs,
      log,
    });
    const known = {
      ...{ store, live: this.#live, lifecycle: this.#lifecycle, mains: this.#mains },
    };
    const lines = new SandboxLines(known);
    const sandboxes = new SandboxService({
      ...known,
      lines,
      events: database.events,
      defaults: config.sandboxDefaults,
      capabilities: await runtime.capabilities(),
    });
    this.#ports.use(sandboxes);
    this.#http = await createHttpServer({
      application: {
        sandboxes,
        ports: this.#ports,
        settings: new SandboxSettings({ ...known, lines }),
        keys: this.#keys,
        people: this.#accounts(),
        nodes: this.#nodes,
        webhooks: new OwnedWebhooks(
          database.webhooks,
          database.webhookDeliveries,
          config.webhookAllowPrivate ? () => false : namesInside,
        ),
        quotas: this.#quotas,
        volumes: new VolumeCatalog({
          rows: database.volumes,
          storage: this.#storage,
          quotas: this.#quotas,
          nfsServers: config.nfsServers,
        }),
        mounts: this.#mounts,
        usage: new SandboxUsage({
          store,
          usage: database.usage,
          intervalMs: config.monitor.intervalMs,
        }),
        metrics: this.#parts.metrics,
        maintenance: this.#parts.maintenance,
        health: async () => ({ database: await database.health(), runtime: runtime.name }),
      },
      logger: log,
      config,
      lineDoor: this.#lines,
    });
    const address = await this.#http.listen(config.port, config.host, {
      ...(config.webSocketPort === undefined ? {} : { webSocketPort: config.webSocketPort }),
    });
    await this.#ports.serve(this.#http.externalPorts);
    await this.#nodes.announce(config.nodeUrl ?? nodeUrlOf(address));
    this.#webhooks = new WebhookDeliverer({
      queue: database.webhookQueue,
      allowPrivate: config.webhookAllowPrivate,
      log,
      onAttempt: (attempt) => this.#parts.metrics.attempted(attempt),
    });
    this.#webhooks.start();
    void this.#fillPool();
    return address;
  }

  /** Destroys every sandbox of this node: for a server that is not to leave anything running. */
  async destroySandboxes(): Promise<void> {
    const rows = await this.#parts.database.sandboxes.ofNode(this.#parts.nodeId);
    await Promise.allSettled(
      rows.map((row) => this.#lifecycle.destroy(row.id, "The server is stopping")),
    );
  }

  /** Closes the doors and ends warm machines; sandboxes run on and are found again by the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#expiry?.[Symbol.dispose]();
    await this.#nodes[Symbol.asyncDispose]();
    await this.#http?.close();
    await this.#webhooks?.[Symbol.asyncDispose]();
    await this.#reconciler[Symbol.asyncDispose]();
    await this.#pool[Symbol.asyncDispose]();
    await this.#reconciler.removeWarm().catch((error: unknown) => {
      this.#parts.log.warn({ err: error }, "warm machines are left; the next start finds them");
    });
    await this.#record[Symbol.asyncDispose]();
    await this.#mains[Symbol.asyncDispose]();
    await this.#keys[Symbol.asyncDispose]();
    await this.#lines[Symbol.asyncDispose]();
  }

  async #fillPool(): Promise<void> {
    const { config, templates, log } = this.#parts;
    if (config.poolSize === 0) return;
    try {
      const [first] = templates;
      let shown = "";
      this.#pooled = await this.#templates.prepare(
        { template: first.name },
        {
          onProgress: ({ step, message }) => {
            if (step === shown) return;
            shown = step;
            log.info({ template: first.name, step, message }, "preparing the template");
          },
        },
      );
      const target = { template: this.#pooled, limits: config.limits, size: config.poolSize };
      this.#pool.setTarget(target, { fill: false });
      // A crash left its warm machines: without taking them in first, each crash would add as many.
      await Promise.race([this.#reconciler.round(), sleep(ADOPTION_MS)]);
      this.#pool.setTarget(target);
    } catch (error) {
      log.warn(
        { err: error },
        "the default template could not be made ready; the first create tries again",
      );
    }
  }
}
