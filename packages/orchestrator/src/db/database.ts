/**
 * The database of an installation: an embedded one in the data directory, or the PostgreSQL that
 * DATABASE_URL names. Everything above sees the same tables and the same errors.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { InsienError, LIMITS } from "@insien/protocol";
import { sql } from "drizzle-orm";
import { apiKeyRows, type ApiKeyRows } from "./api-keys.ts";
import { connect, openPool, type Connection } from "./connection.ts";
import { EmbeddedServer } from "./embedded/embedded-server.ts";
import { eventRows, type EventRows } from "./events.ts";
import { installationRows, type InstallationRows } from "./installation.ts";
import { type LeaseRows, leaseRows } from "./leases.ts";
import { migrate } from "./migrate.ts";
import { nodeRows, type NodeRows } from "./nodes.ts";
import { type UserRows, userRows } from "./people.ts";
import { type SessionRows, sessionRows } from "./person-sessions.ts";
import { quotaRows, type QuotaRows } from "./quotas.ts";
import { type EndedPortRows, type SandboxPortRows, sandboxPortRows } from "./sandbox-ports.ts";
import { deliveryRows, type DeliveryRows } from "./webhook-deliveries.ts";
import { webhookQueue, type WebhookQueue } from "./webhook-queue.ts";
import { webhookRows, type WebhookRows } from "./webhooks.ts";
import { sandboxRows, type SandboxRows } from "./sandboxes.ts";
import { usageRows, type UsageRows } from "./usage.ts";
import { volumeRows, type VolumeRows } from "./volumes.ts";

export interface Database extends AsyncDisposable {
  readonly kind: "embedded" | "postgresql";
  readonly sandboxes: SandboxRows;
  readonly events: EventRows;
  readonly apiKeys: ApiKeyRows;
  readonly nodes: NodeRows;
  readonly installation: InstallationRows;
  readonly webhooks: WebhookRows;
  readonly webhookDeliveries: DeliveryRows;
  readonly webhookQueue: WebhookQueue;
  readonly leases: LeaseRows;
  readonly usage: UsageRows;
  readonly volumes: VolumeRows;
  readonly quotas: QuotaRows;
  readonly sandboxPorts: SandboxPortRows & EndedPortRows;
  readonly users: UserRows;
  readonly sessions: SessionRows;
  /** Asks the database something; waits for one that restarts. */
  health(): Promise<"ok" | "down">;
  /** For the embedded database: the process that serves it, to be named in `insien doctor` and tests. */
  readonly serverPid: number | undefined;
}

export interface DatabaseOptions {
  /** Home of the embedded database; it makes `database/` in it. */
  dataDirectory: string;
  /** A PostgreSQL to be used instead: `postgresql://user@host/name`, or `?host=/directory` for a unix socket. */
  url?: string | undefined;
}

/** Opens the database and brings its tables up to date. Throws `conflict` when another process has the embedded one open. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  return options.url === undefined
    ? openEmbedded(options.dataDirectory)
    : openPostgresql(options.url);
}

async function openPostgresql(url: string): Promise<Database> {
  const pool = openPool({
    connectionString: url,
    statement_timeout: LIMITS.databaseStatementMs.value,
    idle_in_transaction_session_timeout: LIMITS.databaseStatementMs.value,
  });
  const connection = connect(pool, () => Promise.resolve());
  return assemble(
    "postgresql",
    connection,
    () => undefined,
    () => Promise.resolve(),
  );
}

async function openEmbedded(dataDirectory: string): Promise<Database> {
  const directory = join(dataDirectory, "database");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const server = await EmbeddedServer.start(directory);
  const pool = openPool({
    host: server.socketDirectory,
    user: "postgres",
    database: "postgres",
    ssl: false,
    // It is a single session, so a second connection would only wait for the first.
    max: 1,
    idleTimeoutMillis: 0,
  });
  const connection = connect(pool, () => server.ready());
  return assemble(
    "embedded",
    connection,
    () => server.pid,
    () => server[Symbol.asyncDispose](),
  );
}

async function assemble(
  kind: Database["kind"],
  connection: Connection,
  serverPid: () => number | undefined,
  closeServer: () => Promise<void>,
): Promise<Database> {
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= connection.pool.end().then(closeServer));
  try {
    await migrate(connection);
  } catch (error) {
    await close();
    throw explainOpening(error);
  }
  return {
    kind,
    get serverPid() {
      return serverPid();
    },
    sandboxes: sandboxRows(connection),
    events: eventRows(connection),
    apiKeys: apiKeyRows(connection),
    nodes: nodeRows(connection),
    installation: installationRows(connection),
    webhooks: webhookRows(connection),
    webhookDeliveries: deliveryRows(connection),
    webhookQueue: webhookQueue(connection),
    leases: leaseRows(connection),
    usage: usageRows(connection),
    volumes: volumeRows(connection),
    quotas: quotaRows(connection),
    sandboxPorts: sandboxPortRows(connection),
    users: userRows(connection),
    sessions: sessionRows(connection),
    health: async () => {
      const question = connection.read(() => connection.drizzle.execute(sql`select 1`));
      return question.then(
        () => "ok" as const,
        () => "down" as const,
      );
    },
    [Symbol.asyncDispose]: close,
  };
}

function explainOpening(error: unknown): unknown {
  if (!(error instanceof InsienError)) return error;
  const reason = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return new InsienError(error.code, `${error.message}${reason}`, { cause: error });
}
