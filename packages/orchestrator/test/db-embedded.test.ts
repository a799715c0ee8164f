import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { asSandboxId, type SandboxId } from "@insien/protocol";
import { isRunning, waitFor } from "@insien/test-kit";
import { afterEach, describe, expect, test } from "vitest";
import { openDatabase } from "../src/db/index.ts";
import { DurableFiles } from "../src/db/embedded/durable-files.ts";
import { temporaryDirectory, usedDataDirectory } from "./database.fixture.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const OPENER = join(import.meta.dirname, "database-opener-process.ts");
const created = { type: "created" };
const openers: ChildProcess[] = [];
afterEach(() => {
  for (const opener of openers.splice(0)) opener.kill("SIGKILL");
});

/** Another orchestrator, as far as the database is concerned. */
class Opener {
  readonly #child: ChildProcess;
  #output = "";

  constructor(dataDirectory: string) {
    this.#child = spawn(process.execPath, ["--conditions=source", OPENER, dataDirectory], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child.stdout?.on("data", (text) => (this.#output += String(text)));
    openers.push(this.#child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get databasePid(): number | undefined {
    const pid = /^pid (\d+)\n/.exec(this.#output)?.[1];
    return pid === undefined ? undefined : Number(pid);
  }

  /** Sandboxes whose insertion it was told of. */
  get acknowledged(): SandboxId[] {
    const lines = this.#output.slice(0, this.#output.lastIndexOf("\n") + 1).split("\n");
    return lines.map(asSandboxId).filter((id) => id !== undefined);
  }

  /** Until it has inserted so many. */
  inserted(count: number): Promise<unknown> {
    const options = { timeoutMs: 60_000, describe: `${count} sandboxes to be inserted` };
    return waitFor(() => this.acknowledged.length >= count, options);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }
}

test("its directory is private", async () => {
  const dataDirectory = await temporaryDirectory();
  await using _database = await openDatabase({ dataDirectory });
  expect((await stat(join(dataDirectory, "database"))).mode & 0o777).toBe(0o700);
});

test("a path too long for a socket is no hindrance", async () => {
  const dataDirectory = join(await temporaryDirectory(), "a-long-name".repeat(12));
  await mkdir(dataDirectory);
  await using database = await openDatabase({ dataDirectory });
  expect(await database.health()).toBe("ok");
});

test("its process ends with it", async () => {
  const database = await openDatabase({ dataDirectory: await usedDataDirectory() });
  const pid = database.serverPid ?? 0;
  expect(isRunning(pid)).toBe(true);
  await database[Symbol.asyncDispose]();
  expect(isRunning(pid)).toBe(false);
});

test("commits reach the disk before they are acknowledged", async () => {
  let syncs = 0;
  const directory = join(await temporaryDirectory(), "data");
  const parameters = PGlite.defaultStartParams.filter((parameter) => parameter !== "-F");
  await using database = await PGlite.create({
    fs: new DurableFiles(directory, () => (syncs += 1)),
    startParams: [...parameters, "-c", "wal_sync_method=fsync"],
  });
  await database.exec("create table numbers (number integer)");
  const before = syncs;
  for (let number = 0; number < 10; number += 1) {
    await database.query("insert into numbers values ($1)", [number]);
  }
  expect(syncs - before).toBeGreaterThanOrEqual(10);
});

describe("when the database's process is killed", () => {
  test("nothing acknowledged is lost, and it is used on as if nothing had happened", async () => {
    await using database = await openDatabase({ dataDirectory: await usedDataDirectory() });
    const acknowledged: SandboxId[] = [];
    for (let round = 0; round < 3; round += 1) {
      const inserts = Array.from({ length: 200 }, async () => {
        const { id } = await database.sandboxes.insert(newSandboxRow(), created);
        acknowledged.push(id);
      });
      await waitFor(() => acknowledged.length >= round * 200 + 20);
      const pid = database.serverPid ?? 0;
      process.kill(pid, "SIGKILL");
      const results = await Promise.allSettled(inserts);
      for (const result of results) {
        if (result.status === "fulfilled") continue;
        expect(result.reason).toMatchObject({ code: "database_unavailable", status: 503 });
      }
      // Of 180, one statement was on its way, and one or two met the connection as it broke.
      expect(results.filter(({ status }) => status === "rejected").length).toBeLessThanOrEqual(3);
      expect(database.serverPid).not.toBe(pid);
    }
    for (const id of acknowledged) expect(await database.sandboxes.get(id)).toBeDefined();
  });

  test("a question that was on its way is asked again", async () => {
    await using database = await openDatabase({ dataDirectory: await usedDataDirectory() });
    const { id } = await database.sandboxes.insert(newSandboxRow(), created);
    const answers = Array.from({ length: 100 }, () => database.sandboxes.get(id));
    process.kill(database.serverPid ?? 0, "SIGKILL");
    for (const answer of await Promise.all(answers)) expect(answer?.id).toBe(id);
  });
});

describe("when the orchestrator is killed", () => {
  test("its database ends too, and the next start has everything that was acknowledged", async () => {
    const dataDirectory = await usedDataDirectory();
    const opener = new Opener(dataDirectory);
    await opener.inserted(100);
    const databasePid = opener.databasePid ?? 0;
    await opener.kill();
    // At once: the old process may still be ending, which the new one waits for.
    await using database = await openDatabase({ dataDirectory });
    await waitFor(() => !isRunning(databasePid), {
      describe: "the old process to end",
    });
    for (const id of opener.acknowledged) expect(await database.sandboxes.get(id)).toBeDefined();
  });
});

describe("two orchestrators on one directory", () => {
  test("the second is told who has it, and the first notices nothing", async () => {
    const dataDirectory = await usedDataDirectory();
    const first = new Opener(dataDirectory);
    await first.inserted(10);
    const second = openDatabase({ dataDirectory });
    await expect(second).rejects.toMatchObject({ code: "conflict" });
    const message = await second.catch(String);
    expect(message).toContain(`the Insien process with the pid ${first.pid}`);
    expect(message).toContain("INSIEN_DATA_DIR");
    const count = first.acknowledged.length;
    await first.inserted(count + 10);
  });

  test("the one that waits gets it when the first ends", async () => {
    const dataDirectory = await usedDataDirectory();
    const first = new Opener(dataDirectory);
    await first.inserted(1);
    const second = openDatabase({ dataDirectory });
    // The second has begun to wait once its process has opened the lock file.
    await first.inserted(first.acknowledged.length + 50);
    await first.kill();
    await using database = await second;
    expect(await database.health()).toBe("ok");
    expect(await readFile(join(dataDirectory, "database", "holder"), "utf8")).toBe(
      String(process.pid),
    );
  });
});
