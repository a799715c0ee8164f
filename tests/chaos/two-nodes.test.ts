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
  let one: TestServer;
  let other: TestServer;
  /** The first node's own key, as the client of either. */
  let viaOne: Connection;
  let viaOther: Connection;

  beforeAll(async () => {
    postgres = await startPostgres(binaries ?? "");
    const databaseUrl = await postgres.createDatabase();
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

    expect((await sandbox.commands.run("cat; echo err >&2; exit 3", { stdin: "in" })).exitCode).toBe(3);
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
});
