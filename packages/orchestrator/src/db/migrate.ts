import { fileURLToPath } from "node:url";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate as applyMigrations } from "drizzle-orm/node-postgres/migrator";
import type { Connection } from "./connection.ts";

const MIGRATIONS = fileURLToPath(new URL("../../migrations", import.meta.url));
/** Any number that nobody else locks in this database: "insien" in ASCII. */
const MIGRATION_LOCK = 0x696e7369656e;

/** Brings the tables up to date. Of several orchestrators that start at once, one does, the others wait. */
export async function migrate(connection: Connection): Promise<void> {
  await connection.read(async () => {
    const client = await connection.pool.connect();
    try {
      await client.query("select pg_advisory_lock($1)", [MIGRATION_LOCK]);
      await applyMigrations(drizzle(client), { migrationsFolder: MIGRATIONS });
      await client.query("select pg_advisory_unlock($1)", [MIGRATION_LOCK]);
      client.release();
    } catch (error) {
      // Closing the connection gives the lock back, whatever state the migration left it in.
      client.release(true);
      throw error;
    }
  });
}
