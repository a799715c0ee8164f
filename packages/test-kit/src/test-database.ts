/** Which database a test's server has, and a fresh one on PostgreSQL where that is it. */
import pg from "pg";
import { createDatabaseAt, findPostgres, startPostgres } from "./postgres.ts";

export type DatabaseKind = "embedded" | "postgresql";

/** A PostgreSQL for the whole run, as `./test.sh` starts one; every test has databases of its own on it. */
const serverOfRun = process.env["TEST_DATABASE_URL"];

/** What servers are tested on that do not say: `INSIEN_TEST_DATABASE`, or the embedded one. */
export const defaultDatabase: DatabaseKind =
  process.env["INSIEN_TEST_DATABASE"] === "postgresql" ? "postgresql" : "embedded";

export const hasPostgres = async (): Promise<boolean> =>
  serverOfRun !== undefined || (await findPostgres()) !== undefined;

export interface TestDatabase extends AsyncDisposable {
  url: string;
}

/** An empty database on PostgreSQL, which goes when it is disposed of. Without a server of the run it brings its own. */
export async function createTestDatabase(): Promise<TestDatabase> {
  if (serverOfRun !== undefined) {
    const url = await createDatabaseAt(serverOfRun);
    return { url, [Symbol.asyncDispose]: () => dropDatabase(serverOfRun, url) };
  }
  const binaries = await findPostgres();
  if (binaries === undefined) {
    throw new Error(
      "there is no PostgreSQL: install Debian's postgresql, or set TEST_DATABASE_URL",
    );
  }
  const server = await startPostgres(binaries);
  const url = await server.createDatabase();
  return { url, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function dropDatabase(server: string, url: string): Promise<void> {
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  try {
    const name = new URL(url).pathname.slice(1);
    // A server that a test killed may still be connected, as far as PostgreSQL knows.
    await client.query(`drop database if exists ${name} with (force)`);
  } finally {
    await client.end();
  }
}
