/** The container manager's client against a real server with real containers. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Sandbox, SandboxClient, SandboxNotFoundError, SandboxVolumeError } from "@insien/sandbox";
import { mustHave, startServer, type TestServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const run = promisify(execFile);
const dockerAnswers = await run("docker", ["version"]).then(
  () => true,
  () => false,
);

describe.skipIf(!mustHave(dockerAnswers, "a Docker daemon"))("SandboxClient", () => {
  let server: TestServer;
  let client: SandboxClient;
  /** One sandbox that tests share which do not change it for others. */
  let id: string;

  beforeAll(async () => {
    server = await startServer({ runtime: "docker" });
    client = new SandboxClient(server.url, { apiKey: server.apiKey });
    ({ id } = await client.createSandbox({
      name: "shared",
      environment: { FIRST: "1" },
      resources: { cpu: 0.5, memory: "256m", maxRetries: 2 },
      volumes: { work: { mountPath: "/data" } },
    }));
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** Whether a program with these arguments runs in the sandbox. */
  const running = async (command: string): Promise<boolean> => {
    const all = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2> /dev/null";
    const { stdout } = await client.executeCommand(id, all);
    return stdout.split("\n").some((line) => line.trim() === command);
  };

  test("a sandbox's life: created, listed, stopped, started, restarted, deleted", async () => {
    const created = await client.createSandbox({ name: "life" });
    expect(created).toMatchObject({ state: "running", name: "life" });
    await client.executeCommand(created.id, "echo kept > ~/file");
    const ids = async (state?: "running" | "stopped") =>
      (await client.listSandboxes(state)).map((sandbox) => sandbox.id);
    expect(await ids()).toEqual(expect.arrayContaining([id, created.id]));
    expect(await client.stopSandbox(created.id, 1)).toMatchObject({ state: "stopped" });
    expect(await ids("stopped")).toEqual([created.id]);
    expect(await ids("running")).not.toContain(created.id);
    expect(await client.startSandbox(created.id)).toMatchObject({ state: "running" });
    expect(await client.restartSandbox(created.id)).toMatchObject({ state: "running" });
    expect((await client.executeCommand(created.id, "cat ~/file")).stdout).toBe("kept\n");
    expect(await client.deleteSandbox(created.id)).toBe(true);
    expect(await client.deleteSandbox(created.id)).toBe(false);
    await expect(client.getSandboxStatus(created.id)).rejects.toBeInstanceOf(SandboxNotFoundError);
  });

  test("a create that is given up leaves no sandbox behind", async () => {
    const name = "given-up";
    const creation = client.createSandbox({ name }, { signal: AbortSignal.timeout(50) });
    await expect(creation).rejects.toMatchObject({ name: "TimeoutError" });
    const left = async () =>
      (await client.listSandboxes()).filter((sandbox) => sandbox.name === name);
    await waitFor(async () => (await left()).every(({ state }) => state === "destroyed"), {
      describe: "the sandbox to go",
    });
  });

  test("commands: results, arguments, environment, and a time limit that ends them", async () => {
    const shell = "echo out; echo err >&2; exit 3";
    expect(await client.executeCommand(id, shell)).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      exitCode: 3,
    });
    const listed = await client.executeCommand(id, ["printf", "%s|", "a b", "$HOME"]);
    expect(listed.stdout).toBe("a b|$HOME|");
    const options = { env: { SECOND: "2" }, cwd: "/tmp" };
    const { stdout } = await client.executeCommand(id, "echo $FIRST $SECOND $PWD", options);
    expect(stdout).toBe("1 2 /tmp\n");
    const slow = client.executeCommand(id, "exec sleep 4711", { timeoutMs: 1500 });
    slow.catch(() => undefined);
    await waitFor(() => running("sleep 4711"), { describe: "the command to run" });
    await expect(slow).rejects.toMatchObject({ name: "SandboxTimeoutError" });
    await waitFor(async () => !(await running("sleep 4711")), { describe: "it to be ended" });
  });

  test("streamCommand gives lines while the command runs, and says how it ended", async () => {
    const shell = "echo one; read line < /tmp/go; echo two >&2; printf three; exit 4";
    await client.executeCommand(id, "mkfifo /tmp/go");
    const lines = client.streamCommand(id, shell);
    expect(await lines.next()).toEqual({ done: false, value: "one" });
    await client.executeCommand(id, "echo > /tmp/go");
    expect(await lines.next()).toEqual({ done: false, value: "two" });
    expect(await lines.next()).toEqual({ done: false, value: "three" });
    expect(await lines.next()).toMatchObject({ done: true, value: { exitCode: 4 } });
  });

  test("streamCommand labels lines and throws for a failure when told to", async () => {
    const seen: unknown[] = [];
    const options = { labelled: true, throwOnFailure: true } as const;
    const follow = async (): Promise<void> => {
      const shell = "echo a; sleep 0.2; echo b >&2; exit 5";
      for await (const line of client.streamCommand(id, shell, options)) seen.push(line);
    };
    await expect(follow()).rejects.toMatchObject({
      code: "command_failed",
      details: { exitCode: 5 },
    });
    expect(seen).toEqual([
      { stream: "stdout", line: "a" },
      { stream: "stderr", line: "b" },
    ]);
  });

  test("leaving the loop kills the command", async () => {
    for await (const line of client.streamCommand(id, "echo up; exec sleep 4712")) {
      expect(line).toBe("up");
      await waitFor(() => running("sleep 4712"), { describe: "the command to run" });
      break;
    }
    expect(await running("sleep 4712")).toBe(false);
  });

  test("an aborted signal ends the stream with its reason, and the command", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const follow = async (): Promise<void> => {
      for await (const line of client.streamCommand(id, "echo up; exec sleep 4713", { signal })) {
        expect(line).toBe("up");
        controller.abort();
      }
    };
    await expect(follow()).rejects.toMatchObject({ name: "AbortError" });
    await waitFor(async () => !(await running("sleep 4713")), { describe: "the command to end" });
  });

  test("environment: added to, replaced, and there for the next command", async () => {
    const before = await client.getEnvironment(id);
    expect(before.environment).toMatchObject({ FIRST: "1" });
    const merged = await client.updateEnvironment(id, { THIRD: "3" }, true);
    expect(merged.environment).toMatchObject({ FIRST: "1", THIRD: "3" });
    expect((await client.executeCommand(id, "echo $FIRST $THIRD")).stdout).toBe("1 3\n");
    const replaced = await client.updateEnvironment(id, { FIRST: "1" }, false);
    expect(replaced.environment).toEqual({ FIRST: "1" });
    expect((await client.executeCommand(id, "echo $FIRST.$THIRD")).stdout).toBe("1.\n");
  });

  test("entrypoint and command: told anew, read back, and running after a restart", async () => {
    expect(await client.getEntrypoint(id)).toMatchObject({ command: undefined });
    await client.updateEntrypoint(id, ["/bin/sh", "-c"], ["echo main runs; exec sleep 4714"]);
    expect(await client.getEntrypoint(id)).toMatchObject({
      entrypoint: ["/bin/sh", "-c"],
      command: ["echo main runs; exec sleep 4714"],
    });
    await using sandbox = await Sandbox.connect(id, { apiUrl: server.url, apiKey: server.apiKey });
    await waitFor(async () => (await sandbox.main.status())?.state === "running", {
      describe: "the main command to run",
    });
    const texts = async () => {
      const lines = await Array.fromAsync(sandbox.logs());
      return lines.filter(({ stream }) => stream === "stdout").map(({ text }) => text);
    };
    await waitFor(async () => (await texts()).includes("main runs"), { describe: "its line" });
    expect(await sandbox.main.stop()).toMatchObject({ state: "stopped" });
    expect(await sandbox.main.restart()).toMatchObject({ state: "running" });
    await client.updateEntrypoint(id, null, null);
  });

  test("files of a volume: directories, text, uploads, and nothing outside of it", async () => {
    await client.makeDirectory(id, "work", "/sub");
    await client.writeFile(id, "work", "/sub/a.txt", "the téxt");
    expect(await client.readFile(id, "work", "/sub/a.txt")).toBe("the téxt");
    expect((await client.executeCommand(id, "cat /data/sub/a.txt")).stdout).toBe("the téxt");
    await client.uploadFile(id, "work", "/sub/this-test.ts", import.meta.filename);
    const listed = await client.listDirectory(id, "work", "/sub");
    const { size } = await stat(import.meta.filename);
    const names = listed.map(({ name, type }) => `${name} ${type}`);
    expect(new Set(names)).toEqual(new Set(["a.txt file", "this-test.ts file"]));
    expect(listed.find(({ name }) => name === "this-test.ts")?.size).toBe(size);
    await expect(client.readFile(id, "work", "../../etc/passwd")).rejects.toThrow();
    await client.executeCommand(id, "ln -s /etc /data/out && ln -s /tmp/new /data/new");
    const leadsOut = { code: "invalid_path" };
    await expect(client.readFile(id, "work", "/out/passwd")).rejects.toMatchObject(leadsOut);
    await expect(client.writeFile(id, "work", "/new", "x")).rejects.toMatchObject(leadsOut);
    await expect(client.listDirectory(id, "work", "/out")).rejects.toMatchObject(leadsOut);
    await expect(client.makeDirectory(id, "work", "/out/d")).rejects.toMatchObject(leadsOut);
    await expect(client.readFile(id, "nosuch", "/a")).rejects.toBeInstanceOf(SandboxVolumeError);
  });

  test("a folder as a zip, into a file and as a stream", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-export-"));
    try {
      await client.executeCommand(id, "mkdir -p ~/out && echo hi > ~/out/a && ln -s a ~/out/link");
      const output = join(directory, "out.zip");
      expect(await client.exportContainer(id, "out", output)).toBe(output);
      const script =
        "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(sorted(z.namelist()), z.testzip())";
      const { stdout } = await run("python3", ["-c", script, output]);
      expect(stdout).toMatch(/a'.*link'.*None/);
      const stream = await client.exportContainer(id, "out");
      const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
      expect(new TextDecoder().decode(bytes.subarray(0, 2))).toBe("PK");
      await expect(client.exportContainer(id, "nosuch", output)).rejects.toMatchObject({
        code: "file_not_found",
      });
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("a network volume is made, shared, mounted, unmounted and deleted", async () => {
    const volume = await client.createNetworkVolume("shared-data", "local", undefined, "/shared");
    expect(volume).toMatchObject({ name: "shared-data", type: "network", driver: "local" });
    const first = await client.createSandbox({ name: "one" });
    const second = await client.createSandbox({
      name: "two",
      volumes: { "shared-data": { mountPath: "/theirs", type: "network", readOnly: true } },
    });
    try {
      const mounted = await client.mountVolume(first.id, "shared-data");
      expect(mounted.items).toMatchObject([{ name: "shared-data", mountPath: "/shared" }]);
      await client.executeCommand(first.id, "echo from one > /shared/file", {});
      const read = await client.executeCommand(second.id, "cat /theirs/file");
      expect(read.stdout).toBe("from one\n");
      const written = await client.executeCommand(second.id, "echo no > /theirs/file");
      expect(written.exitCode).not.toBe(0);
      await expect(client.volumes.delete("shared-data")).rejects.toMatchObject({
        name: "SandboxVolumeError",
        code: "volume_in_use",
      });
      const unmounted = await client.unmountVolume(first.id, "shared-data");
      expect(unmounted.items).toEqual([]);
    } finally {
      await client.deleteSandbox(first.id);
      await client.deleteSandbox(second.id);
    }
    await waitFor(() => client.volumes.delete("shared-data").catch(() => false), {
      describe: "the volume to be deleted",
    });
  });

  test("an image is built from its context, with its lines told as it goes", async () => {
    const said: string[] = [];
    const request = {
      buildContext: {
        Dockerfile: "FROM debian:bookworm-slim\nCOPY greeting /greeting\nRUN cat /greeting\n",
        greeting: "hello from the context\n",
      },
      forceBuild: true,
    };
    const onProgress = ({ message }: { message?: string | undefined }) => said.push(message ?? "");
    const built = await client.createSandbox(request, { onProgress });
    try {
      expect(said.join("\n")).toContain("hello from the context");
      const { stdout } = await client.executeCommand(built.id, "cat /greeting");
      expect(stdout).toBe("hello from the context\n");
    } finally {
      await client.deleteSandbox(built.id);
    }
    const failing = { buildContext: { Dockerfile: "FROM debian:bookworm-slim\nRUN exit 7\n" } };
    await expect(client.createSandbox(failing)).rejects.toMatchObject({ code: "build_failed" });
  });

  test("keys, quota and webhooks of the account", async () => {
    const key = await client.keys.create({ name: "made by a test" });
    expect((await client.keys.list()).map(({ id: keyId }) => keyId)).toContain(key.id);
    await using other = new SandboxClient(server.url, { apiKey: key.key });
    expect(await other.listSandboxes()).toEqual([]);
    await client.quota.set(key.ownerId, { sandboxes: 0 });
    expect((await other.quota.get()).limits.sandboxes).toBe(0);
    await expect(other.createSandbox({})).rejects.toMatchObject({ code: "quota_exceeded" });
    expect(await client.quota.reset(key.ownerId)).toBe(true);
    const webhook = await other.webhooks.create({ url: "https://example.com/hook", events: ["*"] });
    expect(webhook.secret).toMatch(/^whsec_/);
    await expect(other.webhooks.create({ url: "http://127.0.0.1:9/" })).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("127.0.0.1"),
    });
    expect(await other.webhooks.update(webhook.id, { active: false })).toMatchObject({
      active: false,
    });
    expect(await other.webhooks.list()).toHaveLength(1);
    expect(await other.webhooks.delete(webhook.id)).toBe(true);
    expect(await other.webhooks.delete(webhook.id)).toBe(false);
    expect(await client.keys.revoke(key.id)).toBe(true);
    await expect(other.listSandboxes()).rejects.toMatchObject({ code: "unauthorized" });
  });

  test("usage over time, as the monitor measured it", async () => {
    const connection = { apiUrl: server.url, apiKey: server.apiKey };
    await using sandbox = await Sandbox.connect(id, connection);
    const recent = () => sandbox.usage({ from: new Date(Date.now() - 600_000), stepSeconds: 5 });
    await waitFor(async () => (await recent()).items.length > 0, {
      timeoutMs: 30_000,
      describe: "a sample",
    });
    const { items, stepSeconds } = await recent();
    expect(stepSeconds).toBe(5);
    expect(items[0]?.memoryBytes).toBeGreaterThan(0);
    expect(items[0]?.at).toBeInstanceOf(Date);
  });

  test("what is to be cleaned up can be asked for", async () => {
    expect(await client.maintenance.cleanup({ dryRun: true })).toMatchObject({ dryRun: true });
  });
});
