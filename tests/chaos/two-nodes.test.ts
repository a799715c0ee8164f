/**
 * Goal: several orchestrators on one PostgreSQL are one service. Whichever is asked, a sandbox
 * answers; when the one that holds it is killed, the other says so at once and goes on with its own
 * work; when that one comes back, so do its sandboxes, and what was asked of them meanwhile is done.
 */
import { createHash, randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
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
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const binaries = await findPostgres();
const hasPostgres = mustHave(binaries !== undefined, "PostgreSQL");
const MIB = 1024 * 1024;
const ROUNDS = 10;

interface Connection {
  apiKey: string;
  apiUrl: string;
}

describe.runIf(hasPostgres && presentRuntimes.includes("bubblewrap"))("two nodes", () => {
  let postgres: TestPostgres;
  let sharedUrl: string;
  let one: TestServer;
  let other: TestServer;
  /** The first node's own key, as the client of either. */
  let viaOne: Connection;
  let viaOther: Connection;

  beforeAll(async () => {
    postgres = await startPostgres(binaries ?? "");
    const databaseUrl = await postgres.createDatabase();
    sharedUrl = databaseUrl;
    // Both at once, on an empty database: one of them makes the tables.
    [one, other] = await Promise.all([
      startServer({ runtime: "bubblewrap", databaseUrl }),
      startServer({ runtime: "bubblewrap", databaseUrl }),
    ]);
    viaOne = { apiKey: one.apiKey, apiUrl: one.url };
    viaOther = { apiKey: one.apiKey, apiUrl: other.url };
  });
  afterAll(async () => {
    await one?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
  });

  const ask = (method: string, url: string, body?: object) =>
    fetch(url, {
      method,
      headers: { "x-api-key": one.apiKey, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const machinesOf = (node: TestServer) =>
    readdir(join(node.dataDirectory, "lines")).catch(() => [] as string[]);

  test("each has its own key, and both know both", async () => {
    expect(one.apiKey).not.toBe(other.apiKey);
    for (const url of [one.url, other.url]) {
      for (const key of [one.apiKey, other.apiKey]) {
        const { status } = await fetch(`${url}/api/v1/keys`, { headers: { "x-api-key": key } });
        expect(status).toBe(200);
      }
    }
  });

  test("a sandbox of one is used through the other as if it were its own", async () => {
    const made = await Sandbox.create(viaOne);
    const listed: string[] = [];
    for await (const each of Sandbox.list(viaOther)) listed.push(each.id);
    expect(listed).toContain(made.id);
    const sandbox = await Sandbox.connect(made.id, viaOther);

    expect(
      (await sandbox.commands.run("cat; echo err >&2; exit 3", { stdin: "in" })).exitCode,
    ).toBe(3);
    const streamed = await sandbox.commands.start("for i in 1 2 3; do echo $i; sleep 0.05; done");
    const lines: string[] = [];
    for await (const line of streamed.stdout.lines()) lines.push(line);
    expect(lines).toEqual(["1", "2", "3"]);

    const content = randomBytes(24 * MIB);
    await sandbox.files.write("big.bin", content);
    const digest = createHash("sha256");
    for await (const chunk of await sandbox.files.readStream("big.bin")) digest.update(chunk);
    expect(digest.digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
    const file = `${other.url}/api/v1/sandboxes/${made.id}/files?path=big.bin`;
    const range = await fetch(file, { headers: { "x-api-key": one.apiKey, range: "bytes=5-9" } });
    expect(range.status).toBe(206);
    expect(Buffer.from(await range.arrayBuffer())).toEqual(content.subarray(5, 10));
    const missing = await ask("GET", file.replace("big.bin", "none"));
    expect(missing.status).toBe(404);

    let screen = "";
    await using terminal = await sandbox.terminals.open({
      onData: (bytes) => void (screen += String(Buffer.from(bytes))),
    });
    await terminal.write("echo $((40 + 2))\r");
    await waitFor(() => /^42\r/m.test(screen), { describe: "the terminal's answer" });

    const echo = 'require("net").createServer((s) => s.pipe(s)).listen(8111)';
    await sandbox.commands.start(["/insien/kit/node", "-e", echo]);
    await sandbox.ports.waitFor(8111);
    await using port = await sandbox.ports.open(8111);
    const writer = port.writable.getWriter();
    await writer.write(new TextEncoder().encode("through two servers"));
    const { value } = await port.readable.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("through two servers");

    expect(await sandbox.destroy()).toBe(true);
    expect(await made.destroy()).toBe(false);
    expect(await machinesOf(one)).toEqual([]);
  });

  test("a stranger learns nothing of a sandbox, whichever node is asked", async () => {
    await using sandbox = await Sandbox.create(viaOne);
    const made = await ask("POST", `${one.url}/api/v1/keys`, { name: "a stranger" });
    const { key } = (await made.json()) as { key: string };
    for (const { url } of [one, other]) {
      const answer = await fetch(`${url}/sandbox/${sandbox.id}/status`, {
        headers: { "x-api-key": key },
      });
      expect(answer.status).toBe(404);
    }
  });

  test("destroyed, extended and expired from both sides at once: one wins, nothing is left", async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id } = await Sandbox.create({ ...viaOne, ttlSeconds: 1 });
      const path = `/api/v1/sandboxes/${id}`;
      const longer = { ttl_seconds: 60 };
      const answers = await Promise.all([
        ask("POST", `${other.url}${path}/timeout`, longer),
        ask("DELETE", `${one.url}${path}`),
        ask("DELETE", `${other.url}${path}`),
        ask("POST", `${one.url}${path}/timeout`, longer),
      ]);
      const bodies = await Promise.all(answers.map((answer) => answer.json() as Promise<object>));
      const won = bodies.filter((body) => "destroyed" in body && body.destroyed === true);
      expect(won.length, JSON.stringify(bodies)).toBe(1);
      const listed = await ask("GET", `${other.url}${path}/events`);
      const { items } = (await listed.json()) as { items: { type: string }[] };
      const types = items.map(({ type }) => type);
      expect(types.filter((type) => type === "sandbox.destroying")).toHaveLength(1);
      expect(types.filter((type) => type === "sandbox.destroyed")).toHaveLength(1);
    }
    const expiring = await Sandbox.create({ ...viaOne, ttlSeconds: 1 });
    await waitFor(
      async () => (await ask("GET", `${other.url}/api/v1/sandboxes/${expiring.id}`)).status === 404,
    );
    expect(await machinesOf(one)).toEqual([]);
  });

  test("a killed node is named; its sandboxes go on where they were once it is back", async () => {
    const sandbox = await Sandbox.create(viaOne);
    const doomed = await Sandbox.create(viaOne);
    const ofOther = await Sandbox.create(viaOther);
    const client = await Sandbox.connect(sandbox.id, viaOther);
    await client.files.write("kept.txt", "still here");
    const counting = await client.commands.start(
      "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done",
    );
    const numbers: number[] = [];
    const reading = (async () => {
      for await (const line of counting.stdout.lines()) numbers.push(Number(line));
    })();
    await waitFor(() => numbers.length > 5, { describe: "output through the other node" });

    await one.kill("SIGKILL");
    const exec = () =>
      ask("POST", `${other.url}/api/v1/sandboxes/${sandbox.id}/exec`, { cmd: "true" });
    const startedAt = performance.now();
    const answer = await exec();
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    const { error } = (await answer.json()) as { error: { message: string; retryable: boolean } };
    expect([answer.status, error.retryable]).toEqual([503, true]);
    expect(error.message).toMatch(/^Sandbox \w+ runs on node [\w-]{8}, which does not answer$/);

    // Whoever asks the database is answered, and the other node's own work goes on.
    expect((await client.info()).state).toBe("running");
    expect((await ofOther.commands.run("echo on")).stdout).toBe("on\n");
    const status = await ask("GET", `${other.url}/sandbox/${sandbox.id}/status`);
    expect(await status.json()).toMatchObject({ connected: false });
    expect(await (await Sandbox.connect(doomed.id, viaOther)).destroy()).toBe(true);
    expect((await machinesOf(one)).length).toBe(2);

    await one.start();
    const before = numbers.length;
    await waitFor(() => numbers.length > before + 5, {
      timeoutMs: 20_000,
      describe: "output after the node is back",
    });
    await counting.kill();
    await reading;
    expect(counting.gaps).toEqual([]);
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(await client.files.read("kept.txt")).toBe("still here");
    await waitFor(async () => (await machinesOf(one)).length === 1, {
      timeoutMs: 20_000,
      describe: "the machine to be removed that was to be destroyed meanwhile",
    });
    expect(await client.destroy()).toBe(true);
    expect(await ofOther.destroy()).toBe(true);
  });

  test("a data directory is one node: a second server on it does not start", async () => {
    const { dataDirectory } = one;
    const second = startServer({ runtime: "bubblewrap", databaseUrl: sharedUrl, dataDirectory });
    await expect(second).rejects.toThrow(/is in use by the Insien process with the pid \d+/);
    expect((await ask("GET", `${one.url}/health`)).status).toBe(200);
  });

  test("a node that stops in order is missed at once, and its sandboxes are not lost", async () => {
    const databaseUrl = await postgres.createDatabase();
    const env = { INSIEN_ON_STOP: "keep" };
    await using stays = await startServer({ runtime: "bubblewrap", databaseUrl });
    await using goes = await startServer({ runtime: "bubblewrap", databaseUrl, env });
    const connection = { apiKey: stays.apiKey, apiUrl: stays.url };
    const { id } = await Sandbox.create({ ...connection, apiUrl: goes.url });
    const sandbox = await Sandbox.connect(id, connection);
    await goes.kill("SIGTERM");
    const error = await sandbox.commands
      .run("true", { requestTimeoutMs: 3_000 })
      .catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(SandboxError);
    await goes.start();
    expect((await sandbox.commands.run("echo back")).stdout).toBe("back\n");
    expect(await sandbox.destroy()).toBe(true);
  });
});
