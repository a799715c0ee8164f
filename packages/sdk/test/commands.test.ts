import { createHash } from "node:crypto";
import type { Sandbox } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

describe.skipIf(!hasBubblewrap)("sandbox.commands", () => {
  let server: SdkServer;
  let sandbox: Sandbox;
  beforeAll(async () => {
    server = await SdkServer.start();
    sandbox = await server.create();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test("run gives output apart, exit code and duration", async () => {
    const result = await sandbox.commands.run("echo out; echo err >&2; exit 3");
    expect(result).toMatchObject({ stdout: "out\n", stderr: "err\n", exitCode: 3, gaps: [] });
    expect(result.durationMs).toBeGreaterThan(0);
  });

  test("a list goes to the program with no shell between", async () => {
    const result = await sandbox.runCommand("echo", ["$HOME", "a b", "*"]);
    expect(result.stdout).toBe("$HOME a b *\n");
  });

  test("cwd, env and stdin", async () => {
    const options = { cwd: "/tmp", env: { WORD: "hello" }, stdin: "from stdin" };
    const result = await sandbox.commands.run('pwd; echo "$WORD"; cat', options);
    expect(result.stdout).toBe("/tmp\nhello\nfrom stdin");
  });

  test("a signal's end reads as a shell has it", async () => {
    const result = await sandbox.commands.run("kill -KILL $$");
    expect(result).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
  });

  test("timeoutMs ends the command with an error that holds its output", async () => {
    const call = sandbox.commands.run("echo before; sleep 30", { timeoutMs: 200 });
    await expect(call).rejects.toMatchObject({
      name: "SandboxTimeoutError",
      code: "command_timeout",
      details: { stdout: "before\n" },
    });
  });

  test("a program that is not there is command_not_found", async () => {
    await expect(sandbox.runCommand("no-such-program")).rejects.toMatchObject({
      code: "command_not_found",
    });
  });

  test("an abort rejects and kills", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const onStdout = (): void => controller.abort();
    const call = sandbox.commands.run("echo go; exec sleep 1234", { signal, onStdout });
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    await waitFor(
      async () => (await sandbox.commands.list()).every((command) => command.ended !== undefined),
      { describe: "the aborted command to end" },
    );
  });

  test("callbacks see output as it appears, and characters whole", async () => {
    const seen: string[] = [];
    const result = await sandbox.commands.run(
      String.raw`printf 'a\342'; sleep 0.2; printf '\202\254b'; printf e >&2`,
      { onStdout: (text) => void seen.push(text), onStderr: (text) => void seen.push(`!${text}`) },
    );
    expect(seen.filter((text) => !text.startsWith("!"))).toEqual(["a", "€b"]);
    expect(seen).toContain("!e");
    expect(result.stdout).toBe("a€b");
  });

  test("a slow callback holds the command up and loses nothing", async () => {
    const expected = createHash("sha256")
      .update(Buffer.alloc(32 * 1024 * 1024))
      .digest("hex");
    const hash = createHash("sha256");
    let calls = 0;
    const result = await sandbox.commands.run("head -c 33554432 /dev/zero", {
      maxOutputBytes: 100,
      onStdoutBytes: async (bytes) => {
        hash.update(bytes);
        calls += 1;
        if (calls % 8 !== 0) return;
        await new Promise((resolve) => setTimeout(resolve, 2)); // slow: as a callback that writes to a disk
      },
    });
    expect(hash.digest("hex")).toBe(expected);
    expect(result).toMatchObject({ gaps: [], truncated: { stdoutBytes: 32 * 1024 * 1024 } });
    expect(result.stdout).toHaveLength(100);
  });

  test("start: iterate, write, close stdin, wait", async () => {
    const handle = await sandbox.commands.start(["cat"], { stdin: true, tag: "cat" });
    expect(handle.pid).toBeGreaterThan(0);
    await handle.write("one\ntwo\n");
    await handle.write(new TextEncoder().encode("three"));
    await handle.closeStdin();
    expect(await Array.fromAsync(handle.stdout.lines())).toEqual(["one", "two", "three"]);
    expect(await handle.wait()).toMatchObject({ exitCode: 0 });
    expect(await handle.kill()).toBe(false);
  });

  test("one megabyte and more through stdin", async () => {
    const data = "0123456789abcdef".repeat(200_000);
    const result = await sandbox.commands.run("wc -c", { stdin: data });
    expect(result.stdout.trim()).toBe(String(data.length));
  });

  test("signals reach the command", async () => {
    const handle = await sandbox.commands.start(
      "trap 'echo caught; exit 5' INT; echo up; while :; do sleep 0.05; done",
    );
    const lines = handle.stdout.lines();
    expect((await lines.next()).value).toBe("up");
    expect(await handle.signal("SIGINT")).toBe(true);
    expect((await lines.next()).value).toBe("caught");
    expect(await handle.wait()).toMatchObject({ exitCode: 5 });
  });

  test("disposing a handle kills its command", async () => {
    let processId: string;
    {
      await using handle = await sandbox.commands.start(["sleep", "1000"]);
      processId = handle.processId;
    }
    const found = await waitFor(
      async () =>
        (await sandbox.commands.list()).find(
          (command) => command.processId === processId && command.ended !== undefined,
        ),
      { describe: "the command to end" },
    );
    expect(found.ended?.signal).toBe("SIGKILL");
  });

  test("another program follows a command from where it wants", async () => {
    const first = await sandbox.commands.start("echo one; read line; echo two", {
      stdin: true,
      background: true,
    });
    expect((await first.stdout.lines().next()).value).toBe("one");
    first.detach();
    const all = await sandbox.commands.connect(first.processId);
    const rest = await sandbox.commands.connect(first.processId, { stdoutOffset: 4 });
    await all.write("\n");
    expect((await all.wait()).stdout).toBe("one\ntwo\n");
    expect((await rest.wait()).stdout).toBe("two\n");
  });

  test("both streams in order of arrival", async () => {
    const handle = await sandbox.commands.start("echo 1; sleep 0.1; echo 2 >&2; sleep 0.1; echo 3");
    const order: string[] = [];
    for await (const { stream } of handle.output()) order.push(stream);
    expect(order).toEqual(["stdout", "stderr", "stdout"]);
  });
});
