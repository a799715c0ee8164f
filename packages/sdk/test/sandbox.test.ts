import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { Sandbox, SandboxConnectionError, SandboxNotFoundError } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

const PACKAGE = resolve(import.meta.dirname, "..");
const run = promisify(execFile);

describe.skipIf(!hasBubblewrap)("Sandbox", () => {
  let server: SdkServer;
  beforeAll(async () => {
    server = await SdkServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  /** The states of the sandboxes that one test made. */
  async function statesOf(name: string): Promise<string[]> {
    const all = await Array.fromAsync(Sandbox.list(server.options));
    return all.filter((info) => info.metadata["test"] === name).map((info) => info.state);
  }

  /** Runs plain JavaScript in a Node of its own, as a user's program. */
  async function runProgram(source: string): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), "insien-sdk-"));
    const entry = join(PACKAGE, "src/index.ts");
    try {
      const program = join(directory, "program.mjs");
      await writeFile(program, source.replace("'@insien/sandbox'", JSON.stringify(entry)));
      const { apiKey, apiUrl } = server.options;
      const env = { ...process.env, INSIEN_API_KEY: apiKey, INSIEN_API_URL: apiUrl };
      const args = ["--conditions=source", program];
      const { stdout } = await run(process.execPath, args, { env, timeout: 60_000 });
      return stdout;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  test("the first snippet of the README runs as it is written", async () => {
    const readme = await readFile(join(PACKAGE, "README.md"), "utf8");
    const snippet = /```javascript\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
    expect(snippet).toContain("await sandbox.destroy();");
    const stdout = await runProgram(snippet.replace("your-api-key", server.options.apiKey));
    expect(stdout).toMatch(/^v\d+\.\d+\.\d+$/m);
    expect(stdout).toContain("console.log('Hello!');");
    expect(stdout).toContain("hello.js");
  });

  test("a program that forgets to disconnect ends all the same", async () => {
    const stdout = await runProgram(`
      import { Sandbox } from '@insien/sandbox';
      const sandbox = await Sandbox.create();
      await sandbox.runCommand('true');
      await sandbox.files.write('a', 'b');
      console.log(sandbox.id);
    `);
    const sandbox = await Sandbox.connect(stdout.trim(), server.options);
    expect(await sandbox.files.read("a")).toBe("b");
    expect(await sandbox.destroy()).toBe(true);
  });

  test("is created on first use, once, however many come at the same time", async () => {
    const metadata = { test: "once" };
    await using sandbox = new Sandbox({ ...server.options, metadata });
    expect(() => sandbox.id).toThrow(/created on first use/);
    await Promise.all([
      sandbox.runCommand("true"),
      sandbox.writeFile("a", "a"),
      sandbox.info(),
      sandbox.ports.list(),
    ]);
    expect(await statesOf("once")).toEqual(["running"]);
  });

  test("destroying what never was creates nothing, and twice is false", async () => {
    const unused = new Sandbox(server.options);
    expect(await unused.destroy()).toBe(false);
    const sandbox = await server.create();
    expect(await sandbox.destroy()).toBe(true);
    expect(await sandbox.destroy()).toBe(false);
    await expect(sandbox.runCommand("true")).rejects.toBeInstanceOf(SandboxNotFoundError);
    const states = await Array.fromAsync(Sandbox.list({ ...server.options, state: "running" }));
    expect(states.map((info) => info.id)).not.toContain(sandbox.id);
  });

  test("`await using` destroys what it created and leaves what it connected to", async () => {
    let id: string;
    {
      await using sandbox = await server.create();
      id = sandbox.id;
      {
        await using same = await Sandbox.connect(id, server.options);
        await same.writeFile("from-the-other", "x");
      }
      expect(await sandbox.files.read("from-the-other")).toBe("x");
    }
    const states = await Array.fromAsync(Sandbox.list({ ...server.options, pageSize: 1 }));
    expect(states.find((info) => info.id === id && info.state === "running")).toBeUndefined();
  });

  test("info, timeouts, events and metrics", async () => {
    const settings = { name: "seen", metadata: { a: "b" }, env: { SECRET: "x" } };
    await using sandbox = await server.create(settings);
    const info = await sandbox.info();
    expect(info).toMatchObject({
      id: sandbox.id,
      name: "seen",
      state: "running",
      metadata: { a: "b" },
      environmentKeys: ["SECRET"],
    });
    const extended = await sandbox.setTimeout({ ttlSeconds: 600, idleTimeoutSeconds: 0 });
    const leftMs = (extended.expiresAt?.getTime() ?? 0) - Date.now();
    expect(leftMs).toBeGreaterThan(500_000);
    expect(extended.idleTimeoutSeconds).toBe(0);
    const events = await Array.fromAsync(sandbox.events());
    expect(events.length).toBeGreaterThan(0);
    expect((await sandbox.metrics()).memory.usedBytes).toBeGreaterThan(0);
    expect((await sandbox.runCommand("printenv", ["SECRET"])).stdout).toBe("x\n");
  });

  test("errors have classes, codes and hints", async () => {
    const wrongKey = new Sandbox({ ...server.options, apiKey: "wrong" });
    await expect(wrongKey.info()).rejects.toMatchObject({
      name: "SandboxConnectionError",
      code: "unauthorized",
      status: 401,
    });
    await expect(Sandbox.connect("nosuchsandbox", server.options)).rejects.toMatchObject({
      name: "SandboxNotFoundError",
      code: "sandbox_not_found",
    });
    await expect(server.create({ ttlSeconds: -1 })).rejects.toMatchObject({
      name: "SandboxValidationError",
      code: "invalid_request",
    });
  });

  test("a server that is not there is named", async () => {
    const nowhere = new Sandbox({ apiKey: "k", apiUrl: "http://127.0.0.1:1" });
    const error = await nowhere.info().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SandboxConnectionError);
    expect((error as Error).message).toMatch(/cannot reach 127.0.0.1:1 .*is Insien running/);
    expect((error as SandboxConnectionError).hint).toContain("Start Insien");
    const apiUrl = server.options.apiUrl.replace("http:", "https:");
    await expect(new Sandbox({ apiKey: "k", apiUrl }).info()).rejects.toMatchObject({
      message: expect.stringContaining("does not speak TLS"),
      hint: expect.stringContaining("http://"),
    });
  });

  test("another program's server is taken for none of ours", async () => {
    const other = createServer((_, response) => response.writeHead(404).end("not here")).listen(0);
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const stranger = new Sandbox({ apiKey: "k", apiUrl: `http://127.0.0.1:${port}` });
    await expect(stranger.info()).rejects.toMatchObject({
      message: expect.stringContaining("status 404"),
      hint: expect.stringContaining("no answer of Insien's"),
    });
    other.close();
  });

  test("an aborted creation rejects with the signal's reason and leaves no sandbox", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const metadata = { test: "aborted" };
    const creation = Sandbox.create({ ...server.options, metadata, signal });
    controller.abort();
    await expect(creation).rejects.toMatchObject({ name: "AbortError" });
    let seen = false;
    await waitFor(
      async () => {
        const states = await statesOf(metadata.test);
        seen ||= states.length > 0;
        return seen && states.every((state) => state === "destroyed");
      },
      { describe: "the sandbox to come and go" },
    );
  });
});
