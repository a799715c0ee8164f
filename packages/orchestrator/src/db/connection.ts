/**
 * The way to a database that may go away: a bounded pool, and two ways to use it. A database that
 * restarts costs its callers time, and an error only when it stays away.
 */
import { InsienError, LIMITS } from "@insien/protocol";
import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import pg from "pg";

/** What a connection and a transaction of it have in common. */
export type Statements = Pick<
  NodePgDatabase,
  "$with" | "with" | "select" | "insert" | "update" | "delete" | "execute"
>;

export interface Connection {
  readonly drizzle: NodePgDatabase;
  readonly pool: pg.Pool;
  /**
   * Runs statements that may run twice: when the connection breaks, they are tried again until
   * LIMITS.databaseRetryMs has passed. Throws `database_unavailable` then.
   */
  read<Value>(work: () => Promise<Value>): Promise<Value>;
  /**
   * Runs statements that must not run twice: they are tried again only as long as no connection
   * could be made at all. Throws `database_unavailable`; the statement may then have been done.
   */
  write<Value>(work: () => Promise<Value>): Promise<Value>;
}

const RETRY_PAUSE_MS = 50;

/** The server could not be reached, or refused to begin: nothing was sent. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOENT", "57P03", "53300"]);
/** The connection broke, or the server ended it: the statement may have been done or not. */
const LOST = new Set(["ECONNRESET", "EPIPE", "57P01", "57P02", "08006", "08003", "57014"]);
// The driver gives these no code. Anchored, because other messages quote whole statements.
const NEVER_SENT_MESSAGE = /^timeout exceeded when trying to connect/;
const LOST_MESSAGE =
  /^(Connection terminated|Query read timeout|Client has encountered a connection)/;

type Fault = "never sent" | "lost" | undefined;

/** Drizzle and Node wrap the driver's error, so the whole chain of causes is read. */
function faultOf(error: unknown): Fault {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause ? String(cause.code) : "";
    if (NEVER_SENT.has(code) || NEVER_SENT_MESSAGE.test(cause.message)) return "never sent";
    if (LOST.has(code) || LOST_MESSAGE.test(cause.message)) return "lost";
  }
  return undefined;
}

/** `ready` is awaited before each statement: it holds callers while the server restarts. */
export function connect(pool: pg.Pool, ready: () => Promise<void>): Connection {
  // An idle connection that breaks is dropped by the pool; without a listener it would end the process.
  pool.on("error", () => {});

  async function attempt<Value>(
    work: () => Promise<Value>,
    retried: ReadonlySet<Fault>,
  ): Promise<Value> {
    const deadline = performance.now() + LIMITS.databaseRetryMs.value;
    for (;;) {
      try {
        await ready();
        return await work();
      } catch (error) {
        const fault = faultOf(error);
        if (fault === undefined) throw error;
        if (!retried.has(fault) || performance.now() >= deadline) throw unavailable(fault, error);
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_PAUSE_MS));
    }
  }

  return {
    drizzle: drizzle(pool),
    pool,
    read: (work) => attempt(work, new Set<Fault>(["never sent", "lost"])),
    write: (work) => attempt(work, new Set<Fault>(["never sent"])),
  };
}

function unavailable(fault: Fault, cause: unknown): InsienError {
  const message =
    fault === "lost"
      ? "the connection to the database broke before it answered"
      : "the database cannot be reached";
  return new InsienError("database_unavailable", message, { cause });
}

/** A pool of one, for the embedded database, or of LIMITS.databaseConnections. */
export function openPool(options: pg.PoolConfig): pg.Pool {
  return new pg.Pool({
    application_name: "insien",
    max: LIMITS.databaseConnections.value,
    connectionTimeoutMillis: LIMITS.databaseRetryMs.value,
    // The server ends a long statement itself; the client's own clock is for a server gone silent.
    query_timeout: LIMITS.databaseStatementMs.value + 1000,
    keepAlive: true,
    ...options,
  });
}
