/**
 * Goal: the database may go away and come back. Commands that run go on and keep streaming, because
 * they need no database; what needs it gets an error that says to try again; and once it is back
 * everything works by itself. The same for the embedded database, and when the orchestrator dies
 * together with it.
 */
import { readFile, readdir } from "node:fs/promises";
import { Sandbox, SandboxError } from "@insien/sandbox";
import {
  type TestPostgres,
  type TestServer,
  findPostgres,
  mustHave,
  startPostgres,
  startServer,
  waitFor,
} from "@insien/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const DOWN_MS = 7_000;
const RECOVERED_MS = 30_000;
const binaries = await findPostgres();
const runtime = presentRuntimes.at(-1);
const canRun = mustHave(runtime !== undefined, "a runtime");
const hasPostgres = mustHave(binaries !== undefined, "PostgreSQL's server programs");

const connectionOf = (server: TestServer) => ({ apiKey: server.apiKey, apiUrl: server.url });

/** A command that counts as it runs, and what of it was read so far. */
async function countingIn(sandbox: Sandbox) {
  const command = await sandbox.commands.start(
    "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done",
  );
  const numbers: number[] = [];
  const reading = (async () => {
    for await (const line of command.stdout.lines()) numbers.push(Number(line));
  })();
  return {
    numbers,
    goesOn: async () => {
      const before = numbers.length;
      await waitFor(() => numbers.length > before + 5, {
        describe: "the command's output to go on",
      });
    },
    stop: async () => {
      await command.kill();
      await reading;
      expect(command.gaps).toEqual([]);
      expect(numbers).toEqual(numbers.map((_, index) => index));
    },
  };
}

const worksAgain = (server: TestServer) =>
  waitFor(
    async () => {
      await using next = await Sandbox.create(connectionOf(server));
      return (await next.commands.run(["echo", "again"])).stdout === "again\n";
    },
    { timeoutMs: RECOVERED_MS, intervalMs: 200, describe: "a new sandbox to work" },
  );

describe.skipIf(!canRun || !hasPostgres)("PostgreSQL that goes away", () => {
  let postgres: TestPostgres;
  let databaseUrl: string;
  let server: TestServer;

  beforeAll(async () => {
    postgres = await startPostgres(binaries ?? "");
    databaseUrl = await postgres.createDatabase();
    server = await startServer({ ...(runtime && { runtime }), databaseUrl, poolSize: 1 });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
  });

  /** As an administrator does it, on all connections of the orchestrator at once. */
  const dropConnections = async (): Promise<number> => {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    const { rowCount } = await client.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    await client.end();
    return rowCount ?? 0;
  };

  test("for a moment is not noticed", async () => {
    await using sandbox = await Sandbox.create(connectionOf(server));
    const counting = await countingIn(sandbox);
    let dropped = 0;
    for (let round = 0; round < 5; round += 1) {
      dropped += await dropConnections();
      // Questions are asked again on a new connection; a create that broke says so, or went through.
      expect((await sandbox.info()).state).toBe("running");
      await counting.goesOn();
    }
    expect(dropped).toBeGreaterThan(0);
    await worksAgain(server);
    await counting.stop();
  });

  test("for longer is said to be away, and everything recovers by itself", async () => {
    await using sandbox = await Sandbox.create(connectionOf(server));
    const counting = await countingIn(sandbox);
    const back = postgres.crash({ downMs: DOWN_MS });
    await counting.goesOn();
    const health = fetch(`${server.url}/health`).then((answer) => answer.json());
    const tries = await Promise.all(
      [Sandbox.create(connectionOf(server)), sandbox.info()].map((call) =>
        call.catch((error: unknown) => error),
      ),
    );
    for (const error of tries) {
      expect(error).toBeInstanceOf(SandboxError);
      expect(error).toMatchObject({ code: "database_unavailable", status: 503, retryable: true });
    }
    expect(await health).toMatchObject({ database: "down", status: "degraded" });
    // What runs needs no database: neither the stream nor a new command.
    expect((await sandbox.commands.run(["echo", "without"])).stdout).toBe("without\n");
    await counting.goesOn();
    await back;
    await worksAgain(server);
    expect((await sandbox.info()).state).toBe("running");
    await counting.stop();
    // What happened meanwhile is in the record all the same.
    await waitFor(
      async () => JSON.stringify(await Array.fromAsync(sandbox.events())).includes('"without"'),
      {
        timeoutMs: RECOVERED_MS,
        describe: "the command that ran without a database, in the events",
      },
    );
  });

  test("together with the orchestrator, both come back", async () => {
    await using sandbox = await Sandbox.create(connectionOf(server));
    const counting = await countingIn(sandbox);
    await counting.goesOn();
    await Promise.all([server.kill("SIGKILL"), postgres.crash({ downMs: 500 })]);
    await server.start();
    await counting.goesOn();
    expect((await sandbox.info()).state).toBe("running");
    await counting.stop();
    await worksAgain(server);
  });
});

describe.skipIf(!canRun)("the embedded database", () => {
  test("killed is started again, and loses nothing", async () => {
    await using server = await startServer({
      ...(runtime && { runtime }),
      database: "embedded",
      poolSize: 1,
    });
    const sandbox = await Sandbox.create({ ...connectionOf(server), metadata: { kept: "yes" } });
    const counting = await countingIn(sandbox);
    for (let round = 0; round < 3; round += 1) {
      const databases = await childrenNaming(server.pid, "server-process");
      expect(databases).toHaveLength(1);
      for (const pid of databases) process.kill(pid, "SIGKILL");
      await counting.goesOn();
      expect((await sandbox.info()).metadata).toEqual({ kept: "yes" });
      await worksAgain(server);
    }
    const both = await childrenNaming(server.pid, "server-process");
    for (const pid of both) process.kill(pid, "SIGKILL");
    await server.restart("SIGKILL");
    await counting.goesOn();
    expect((await sandbox.info()).metadata).toEqual({ kept: "yes" });
    await counting.stop();
    expect(await sandbox.destroy()).toBe(true);
  });
});

async function childrenNaming(parent: number, text: string): Promise<number[]> {
  const found: number[] = [];
  for (const task of await readdir(`/proc/${parent}/task`)) {
    const children = await readFile(`/proc/${parent}/task/${task}/children`, "utf8");
    for (const pid of children.trim().split(" ").filter(Boolean).map(Number)) {
      if ((await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(text)) found.push(pid);
    }
  }
  return found;
}
