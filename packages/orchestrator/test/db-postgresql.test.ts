import { findPostgres, mustHave, startPostgres, type TestPostgres } from "@insien/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDatabase } from "../src/db/index.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const binaries = await findPostgres();
const created = { type: "created" };

describe.runIf(mustHave(binaries !== undefined, "PostgreSQL"))("PostgreSQL", () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres(binaries ?? "");
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test("several may open an empty database at once", async () => {
    const url = await server.createDatabase();
    const opened = await Promise.all(
      Array.from({ length: 4 }, () => openDatabase({ dataDirectory: "/nonexistent", url })),
    );
    const labels = await Promise.all(
      opened.map(async (each) => (await each.installation.get()).ownerLabel),
    );
    await Promise.all(opened.map((each) => each[Symbol.asyncDispose]()));
    expect(new Set(labels).size).toBe(1);
  });

  test("dropped connections are made again, and no question is lost", async () => {
    const url = await server.createDatabase();
    await using database = await openDatabase({ dataDirectory: "/nonexistent", url });
    const { id } = await database.sandboxes.insert(newSandboxRow(), created);
    const administrator = new pg.Client({ connectionString: url });
    await administrator.connect();
    for (let round = 0; round < 5; round += 1) {
      const answers = Array.from({ length: 200 }, () => database.sandboxes.get(id));
      await administrator.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'insien'",
      );
      for (const answer of await Promise.all(answers)) expect(answer?.id).toBe(id);
    }
    await administrator.end();
  });

  test("a server that restarts costs time, and only what was on its way an error", async () => {
    const url = await server.createDatabase();
    await using database = await openDatabase({ dataDirectory: "/nonexistent", url });
    const { id } = await database.sandboxes.insert(newSandboxRow(), created);
    const crash = server.crash({ downMs: 500 });
    const reads = Array.from({ length: 50 }, () => database.sandboxes.get(id));
    const writes = Array.from({ length: 50 }, () =>
      database.sandboxes.insert(newSandboxRow(), created),
    );
    const outcomes = await Promise.allSettled(writes);
    for (const answer of await Promise.all(reads)) expect(answer?.id).toBe(id);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected")
        expect(outcome.reason).toMatchObject({ code: "database_unavailable" });
    }
    await crash;
    expect(await database.health()).toBe("ok");
  });

  test("a server that is not there is named as the reason", async () => {
    const url = "postgresql://nobody:a-secret@127.0.0.1:1/none";
    const opening = openDatabase({ dataDirectory: "/nonexistent", url });
    await expect(opening).rejects.toMatchObject({ code: "database_unavailable" });
    const message = await opening.catch(String);
    expect(message).toContain("the database cannot be reached");
    expect(message).toContain("127.0.0.1:1");
    expect(message).not.toContain("a-secret");
  });
});
