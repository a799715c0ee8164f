import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTestDatabase, defaultDatabase, hasPostgres, mustHave } from "@insien/test-kit";
import { afterAll } from "vitest";
import { openDatabase, type Database, type DatabaseOptions } from "../src/db/index.ts";

/** What the tests of one file opened and made, in that order; it goes in the opposite one. */
const resources = new AsyncDisposableStack();
afterAll(() => resources.disposeAsync());

/** The databases that every test of `db` runs on; `open` gives the same, still empty one each time. */
export const DATABASES = [
  { kind: "embedded" as const, present: true, prepare: prepareEmbedded },
  {
    kind: "postgresql" as const,
    present: mustHave(await hasPostgres(), "PostgreSQL"),
    prepare: preparePostgresql,
  },
];

let template: Promise<string> | undefined;

/** A data directory with an embedded database that was opened before: that is quicker than a new one. */
export async function usedDataDirectory(): Promise<string> {
  template ??= makeTemplate();
  const directory = await temporaryDirectory();
  await cp(await template, directory, { recursive: true });
  return directory;
}

async function makeTemplate(): Promise<string> {
  const dataDirectory = await temporaryDirectory();
  await using _database = await openDatabase({ dataDirectory });
  return dataDirectory;
}

export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "insien-db-"));
  resources.defer(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

async function prepareEmbedded(): Promise<DatabaseOptions> {
  return { dataDirectory: await temporaryDirectory() };
}

async function preparePostgresql(): Promise<DatabaseOptions> {
  const { url } = resources.use(await createTestDatabase());
  return { dataDirectory: "/nonexistent", url };
}

/** A database of the kind that the run is about, for tests that work on any. */
export async function openAnyForTests(): Promise<Database> {
  const prepare = defaultDatabase === "postgresql" ? preparePostgresql : prepareEmbedded;
  return openForTests(await prepare());
}

export async function openForTests(options: DatabaseOptions): Promise<Database> {
  return resources.use(await openDatabase(options));
}
