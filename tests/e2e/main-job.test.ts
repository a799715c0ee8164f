/**
 * Goal: the main job, from end to end, on every runtime: a program creates a sandbox, writes a file,
 * runs commands, streams what they print, reads files back, and destroys it.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Sandbox, SandboxError, SandboxNotFoundError } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectMachines, machinesOf } from "../machines.ts";
import { presentCombinations } from "../runtimes.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const MIB = 1024 * 1024;
const run = promisify(execFile);
const codeOf = (error: unknown) => (error instanceof SandboxError ? error.code : String(error));
const failure = (promise: Promise<unknown>) => promise.then(() => "it worked", codeOf);

describe.each(presentCombinations)("the main job on $runtime, $database", (combination) => {
  const { runtime } = combination;
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };

  beforeAll(async () => {
    server = await startServer({ ...combination, poolSize: 1 });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    expect(await machinesOf(server, runtime).catch(() => [])).toEqual([]);
  });

  const whenWarm = () =>
    waitFor(async () => (await machinesOf(server, runtime)).length > 0, {
      timeoutMs: 60_000,
      describe: "a warm machine",
    });

  test("the first seed's snippet runs as it is written", async () => {
    const seed = await readFile(join(ROOT, "packages/sdk/README.md"), "utf8");
    const snippet = /```javascript\n([\s\S]*?)```/.exec(seed)?.[1] ?? "";
    const directory = await mkdtemp(join(tmpdir(), "insien-snippet-"));
    try {
      const entry = join(ROOT, "packages/sdk/src/index.ts");
      const program = snippet
        .replace("'@insien/sandbox'", JSON.stringify(entry))
        .replace("your-api-key", server.apiKey);
      await writeFile(join(directory, "program.mjs"), program);
      const env = { ...process.env, INSIEN_API_URL: server.url };
      const args = ["--conditions=source", join(directory, "program.mjs")];
      const { stdout } = await run(process.execPath, args, { env, timeout: 60_000 });
      expect(stdout).toMatch(/^v\d+\.\d+/m);
      expect(stdout).toContain("console.log('Hello!');");
      expect(stdout).toContain("hello.js");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("create, write, run, stream, read, list, destroy", async () => {
    const sandbox = await Sandbox.create(connection);
    await sandbox.files.write(
      "src/sum.sh",
      'for n in 1 2 3; do echo "$n"; sleep 0.2; done; exit 7',
    );
    const command = await sandbox.commands.start(["sh", "src/sum.sh"]);
    const seenAt: number[] = [];
    for await (const line of command.stdout.lines()) {
      expect(line).toBe(String(seenAt.length + 1));
      seenAt.push(performance.now());
    }
    // It came as it was printed, not at the end.
    expect((seenAt[2] ?? 0) - (seenAt[0] ?? 0)).toBeGreaterThan(200);
    expect(await command.wait()).toMatchObject({ exitCode: 7 });
    const bytes = new Uint8Array(3 * MIB).map((_, index) => index * 31);
    await sandbox.files.write("data.bin", bytes);
    // Compared as buffers: printing the difference of megabytes takes a minute.
    const back = await sandbox.files.readBytes("data.bin");
    expect(Buffer.compare(back, bytes)).toBe(0);
    const { entries } = await sandbox.files.list(".", { depth: 2 });
    const paths = entries.map(({ path }) => path);
    expect(paths.filter((path) => /(sum\.sh|data\.bin)$/.test(path))).toHaveLength(2);
    const listed = await Array.fromAsync(Sandbox.list({ ...connection, state: "running" }));
    expect(listed.map(({ id }) => id)).toContain(sandbox.id);

    expect(await sandbox.destroy()).toBe(true);
    expect(await sandbox.destroy()).toBe(false);
    const again = await fetch(`${server.url}/api/v1/sandboxes/${sandbox.id}`, {
      method: "DELETE",
      headers: server.headers,
    });
    expect(await again.json()).toMatchObject({ destroyed: false });
    await expect(Sandbox.connect(sandbox.id, connection)).rejects.toBeInstanceOf(
      SandboxNotFoundError,
    );
  });

  test("a warm machine takes its sandbox's name, environment, metadata and limits", async () => {
    await whenWarm();
    const resources = { cpu: 0.5, memory: "160m", pids: 40 };
    const settings = { name: "late", env: { LATE: "bound" }, metadata: { job: "7" }, resources };
    await using sandbox = await Sandbox.create({ ...connection, ...settings });
    const [created] = await Array.fromAsync(sandbox.events());
    expect(created?.data).toMatchObject({ warm: true });
    expect(await sandbox.info()).toMatchObject({
      name: "late",
      metadata: { job: "7" },
      environmentKeys: ["LATE"],
      resources: { cpu: 0.5, pids: 40 },
    });
    expect((await sandbox.commands.run("echo $LATE")).stdout).toBe("bound\n");
    const hog = await sandbox.commands.run("head -c 600M /dev/zero | tail | wc -c").then(
      ({ stdout }) => stdout.trim(),
      () => "",
    );
    expect(hog).not.toBe(String(600 * MIB));
    await using small = await Sandbox.create({ ...connection, resources });
    const children = "for i in $(seq 100); do sleep 3 & done; wait";
    expect((await small.commands.run(children)).stderr).toMatch(/fork|[Rr]esource/);
  });

  test("time to live and idle timeout end a sandbox, but not while a command runs", async () => {
    const gone = (sandbox: Sandbox, timeoutMs: number) =>
      waitFor(async () => (await failure(sandbox.info())) === "sandbox_not_found", {
        timeoutMs,
        describe: "the sandbox to be destroyed",
      });
    const begun = performance.now();
    const short = await Sandbox.create({ ...connection, ttlSeconds: 2 });
    const busy = await Sandbox.create({ ...connection, idleTimeoutSeconds: 2 });
    const command = await busy.commands.start("sleep 6; echo done", { background: true });
    command.detach();
    await gone(short, 20_000);
    expect(performance.now() - begun).toBeGreaterThan(1_500);
    // Nobody asks after it for three times its idle timeout; only its command speaks for it.
    await waitFor(() => performance.now() - begun > 5_000, { describe: "five seconds to pass" });
    const [first] = await Array.fromAsync(Sandbox.list(connection)).then((all) =>
      all.filter(({ id }) => id === busy.id),
    );
    expect(first?.state).toBe("running");
    await gone(busy, 30_000);
    expect(performance.now() - begun).toBeGreaterThan(6_000);
  });

  test("stopped and started again it has its files and a new machine", async () => {
    await using sandbox = await Sandbox.create({ ...connection, env: { KEPT: "yes" } });
    await sandbox.files.write("kept.txt", "kept");
    const command = await sandbox.commands.start(["sleep", "1000"]);
    const ended = command.wait().catch((error: unknown) => error);
    expect((await sandbox.stop()).state).toBe("stopped");
    await ended;
    expect(await failure(sandbox.commands.run("true"))).toBe("sandbox_state");
    expect((await sandbox.start()).state).toBe("running");
    expect(await sandbox.files.read("kept.txt")).toBe("kept");
    expect((await sandbox.commands.run("echo $KEPT")).stdout).toBe("yes\n");
  });

  test("lists in pages, newest first", async () => {
    const made = await Promise.all([1, 2, 3].map(() => Sandbox.create(connection)));
    const all = await Array.fromAsync(
      Sandbox.list({ ...connection, state: "running", pageSize: 2 }),
    );
    const ids = all.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toEqual(expect.arrayContaining(made.map(({ id }) => id)));
    const times = all.map(({ createdAt }) => createdAt.getTime());
    expect(times).toEqual(times.toSorted((one, other) => other - one));
    await Promise.all(made.map((sandbox) => sandbox.destroy()));
  });

  test("what happened is in its events, commands included", async () => {
    const sandbox = await Sandbox.create(connection);
    await sandbox.commands.run(["sh", "-c", "exit 3"]);
    await waitFor(
      async () => {
        const events = await Array.fromAsync(sandbox.events());
        const types = events.map(({ type }) => type);
        expect(types).toEqual(["sandbox.created", "command.started", "command.ended"]);
        expect(events[1]?.data["command"]).toEqual(["sh", "-c", "exit 3"]);
        expect(events[2]?.data["exitCode"]).toBe(3);
        return true;
      },
      { describe: "the command in the events" },
    ).catch((error: unknown) => {
      throw error instanceof Error && error.cause instanceof Error ? error.cause : error;
    });
    await sandbox.destroy();
    const afterwards = await Array.fromAsync(sandbox.events()).catch(() => []);
    const response = await fetch(`${server.url}/api/v1/sandboxes/${sandbox.id}/events`, {
      headers: server.headers,
    });
    const { items } = (await response.json()) as { items: { type: string }[] };
    expect([...afterwards, ...items].map(({ type }) => type)).toContain("sandbox.destroyed");
  });

  test("a template that does not exist, and an image that cannot be had", async () => {
    expect(await failure(Sandbox.create({ ...connection, template: "nothing" }))).toBe(
      "template_not_found",
    );
    const response = await fetch(`${server.url}/api/v1/sandboxes`, {
      method: "POST",
      headers: {
        ...server.headers,
        accept: "application/x-ndjson",
        "content-type": "application/json",
      },
      body: JSON.stringify({ image: "127.0.0.1:1/no/such:image" }),
    });
    const lines = (await response.text())
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; error?: { code: string } });
    const expected = runtime === "docker" ? "image_unavailable" : "capability_missing";
    expect(lines.at(-1)?.error?.code).toBe(expected);
    // Nothing but the pool's.
    await expectMachines(server, runtime, 1);
  });

  test("any image becomes a sandbox, where there are images", async () => {
    const creation = Sandbox.create({ ...connection, image: "debian:bookworm-slim" });
    if (runtime === "bubblewrap") {
      expect(await failure(creation)).toBe("capability_missing");
      return;
    }
    await using sandbox = await creation;
    expect((await sandbox.info()).image).toBe("debian:bookworm-slim");
    const { stdout } = await sandbox.commands.run("cat /etc/os-release; id -u");
    expect(stdout).toMatch(/bookworm[\s\S]*\n0\n$/);
  });

  test("a create tells its progress while it is made", async () => {
    const response = await fetch(`${server.url}/api/v1/sandboxes`, {
      method: "POST",
      headers: {
        ...server.headers,
        accept: "application/x-ndjson",
        "content-type": "application/json",
      },
      // A network of its own cannot come from the warm pool.
      body: JSON.stringify({ network: "internet" }),
    });
    const text = await response.text();
    const types = text
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types.slice(0, -1)).toContain("progress");
    expect(types.at(-1), text).toBe("sandbox");
    const { sandbox } = JSON.parse(text.trim().split("\n").at(-1) ?? "") as {
      sandbox: { id: string };
    };
    expect(await (await Sandbox.connect(sandbox.id, connection)).destroy()).toBe(true);
  });

  test("the document of the API is whole", async () => {
    interface Operation {
      operationId: string;
      parameters?: { name: string; in: string }[];
      responses: Record<string, unknown>;
    }
    const text = await (await fetch(`${server.url}/openapi.json`)).text();
    const document = JSON.parse(text) as {
      openapi: string;
      info: { title: string; version: string };
      paths: Record<string, Record<string, Operation>>;
    };
    expect(document.openapi).toMatch(/^3\.1/);
    expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) });
    for (const [path, methods] of Object.entries(document.paths)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
      for (const [method, operation] of Object.entries(methods)) {
        const inPath = (operation.parameters ?? []).filter((each) => each.in === "path");
        expect(inPath.map(({ name }) => name).toSorted(), `${method} ${path}`).toEqual(
          named.toSorted(),
        );
        expect(Object.keys(operation.responses).length, `${method} ${path}`).toBeGreaterThan(0);
      }
    }
    for (const [, pointer = ""] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      let value: unknown = document;
      for (const key of pointer.split("/"))
        value = (value as Record<string, unknown> | undefined)?.[key];
      expect(value, pointer).toBeDefined();
    }
  });
});
