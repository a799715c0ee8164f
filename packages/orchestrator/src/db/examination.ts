/** Looks at a PostgreSQL without changing anything in it: for `doctor`, beside whoever uses it. */
import pg from "pg";
import journal from "../../migrations/meta/_journal.json" with { type: "json" };

export interface DatabaseExamination {
  version: string;
  latencyMs: number;
  /** Migrations that this program has and the database has not; all of them where it is new. */
  pending: number;
  /** Migrations that the database has and this program does not know: a newer one was here. */
  unknown: number;
}

const CONNECT_MS = 5_000;

/** Throws what the driver says when it cannot be reached. */
export async function examineDatabase(url: string): Promise<DatabaseExamination> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS,
    application_name: "insien doctor",
  });
  await client.connect();
  try {
    const startedAt = performance.now();
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    const latencyMs = performance.now() - startedAt;
    const applied = await appliedMigrations(client);
    const known = new Set(journal.entries.map(({ when }) => when));
    return {
      version: rows[0]?.server_version ?? "unknown",
      latencyMs,
      pending: [...known].filter((when) => !applied.has(when)).length,
      unknown: [...applied].filter((when) => !known.has(when)).length,
    };
  } finally {
    await client.end();
  }
}

async function appliedMigrations(client: pg.Client): Promise<Set<number>> {
  const table = "drizzle.__drizzle_migrations";
  const { rows } = await client.query<{ found: string | null }>("select to_regclass($1) as found", [
    table,
  ]);
  if (typeof rows[0]?.found !== "string") return new Set();
  const applied = await client.query<{ created_at: string }>(`select created_at from ${table}`);
  return new Set(applied.rows.map((row) => Number(row.created_at)));
}
