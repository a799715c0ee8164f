/** What `sandbox.environment`, `.entrypoint`, `.main`, `.logs`, `.ports` and archives do. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LogLine, Sandbox } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

const run = promisify(execFile);

describe.skipIf(!hasBubblewrap)("namespaces of a sandbox", () => {
  let server: SdkServer;
  let sandbox: Sandbox;
  beforeAll(async () => {
    server = await SdkServer.start();
    sandbox = await server.create({
      env: { FIRST: "1" },
      command: ["sh", "-c", "echo main has $FIRST$SECOND; echo to stderr >&2; exec sleep 600"],
      resources: { maxRetries: 1 },
    });
  });
  afterAll(async () => {
    await sandbox?.destroy();
    await server?.[Symbol.asyncDispose]();
  });

  test("environment: the next command has it, and the answer says who does not", async () => {
    const changed = await sandbox.environment.update({ SECOND: "2" });
    expect(changed).toEqual({ environment: { FIRST: "1", SECOND: "2" }, restartNeeded: true });
    expect(await sandbox.environment.get()).toEqual(changed);
    expect((await sandbox.commands.run("echo $FIRST$SECOND")).stdout).toBe("12\n");
  });

  test("main: restarts with what it is told by now, stops, and tells", async () => {
    expect(await sandbox.main.status()).toMatchObject({ state: "running", maxRetries: 1 });
    expect(await sandbox.main.restart()).toMatchObject({ state: "running" });
    expect(await sandbox.environment.get()).toMatchObject({ restartNeeded: false });
    await sandbox.entrypoint.update({ command: "echo another; exec sleep 600" });
    expect(await sandbox.entrypoint.get()).toMatchObject({
      command: "echo another; exec sleep 600",
      restartNeeded: true,
    });
    await sandbox.main.restart();
    expect(await sandbox.main.stop()).toMatchObject({ state: "stopped" });
  });

  const outputOf = (lines: LogLine[]) =>
    lines.filter(({ stream }) => stream !== "system").map(({ stream, text }) => [stream, text]);

  test("logs: what main printed over all its runs, and what it prints from now on", async () => {
    await waitFor(
      async () => (await Array.fromAsync(sandbox.logs())).some(({ text }) => text === "another"),
      { describe: "the last run's line" },
    );
    const lines = await Array.fromAsync(sandbox.logs());
    expect(outputOf(lines)).toEqual(
      expect.arrayContaining([
        ["stdout", "main has 1"],
        ["stderr", "to stderr"],
        ["stdout", "main has 12"],
        ["stdout", "another"],
      ]),
    );
    expect(lines.every(({ at }) => at instanceof Date)).toBe(true);
    expect(await Array.fromAsync(sandbox.logs({ tail: 0 }))).toEqual([]);
    const followed: string[] = [];
    const restarted = sandbox.main.restart();
    for await (const { text } of sandbox.logs({ follow: true })) {
      followed.push(text);
      if (followed.filter((line) => line === "another").length === 2) break;
    }
    expect((await restarted).state).toBe("running");
  });

  test("archives: a tar goes in and comes out, links and all", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-archives-"));
    try {
      await writeFile(join(directory, "a"), "content");
      await run("ln", ["-s", "a", join(directory, "link")]);
      await run("tar", ["-cf", `${directory}.tar`, "-C", directory, "."]);
      await sandbox.files.uploadArchive(`${directory}.tar`, "unpacked");
      await sandbox.files.writeArchive("again", await readFile(`${directory}.tar`));
      expect((await sandbox.commands.run("readlink again/link && cat unpacked/a")).stdout).toBe(
        "a\ncontent",
      );
      await sandbox.files.downloadArchive("unpacked", join(directory, "out.tar"));
      const { stdout } = await run("tar", ["-tvf", join(directory, "out.tar")]);
      expect(stdout).toMatch(/link -> a/);
      await sandbox.files.exportZip("unpacked", join(directory, "out.zip"));
      expect((await readFile(join(directory, "out.zip"))).subarray(0, 2).toString()).toBe("PK");
      const bytes = new Response(await sandbox.files.readArchive("unpacked")).arrayBuffer();
      expect((await bytes).byteLength % 512).toBe(0);
    } finally {
      await rm(directory, { recursive: true, force: true });
      await rm(`${directory}.tar`, { force: true });
    }
  });

  test("ports: published, found, linked, opened to all, and taken back", async () => {
    const web = await sandbox.commands.start(
      ["node", "-e", "require('http').createServer((q, s) => s.end('hello')).listen(8000)"],
      { background: true },
    );
    await sandbox.ports.waitFor(8000);
    const published = await sandbox.ports.publish(8000);
    expect(published).toMatchObject({ internal: 8000, protocol: "http", public: false });
    expect(await sandbox.ports.published()).toEqual([published]);
    expect(await sandbox.ports.url(8000)).toBe(published.url);
    const pathUrl = published.pathUrl ?? "";
    expect((await fetch(pathUrl)).status).toBe(401);
    const link = await sandbox.ports.link(8000, { expiresInSeconds: 60 });
    expect(link.expiresAt.getTime()).toBeGreaterThan(Date.now());
    expect(await (await fetch(link.pathUrl)).text()).toBe("hello");
    expect(await sandbox.ports.setPublic(8000, true)).toMatchObject({ public: true });
    expect(await (await fetch(pathUrl)).text()).toBe("hello");
    expect(await sandbox.ports.unpublish(8000)).toBe(true);
    expect(await sandbox.ports.unpublish(8000)).toBe(false);
    await expect(sandbox.ports.url(8000)).rejects.toMatchObject({ code: "port_not_found" });
    await web.kill();
  });

  test("volumes: what is mounted", async () => {
    expect(await sandbox.volumes.list()).toEqual([]);
    await expect(sandbox.volumes.mount("nosuch", { mountPath: "/data" })).rejects.toMatchObject({
      name: "SandboxVolumeError",
    });
  });

  test("restart makes a new machine on the same files", async () => {
    await sandbox.files.write("kept", "x");
    const before = (await sandbox.info()).startedAt;
    const after = await sandbox.restart();
    expect(after.state).toBe("running");
    expect(after.startedAt?.getTime()).toBeGreaterThan(before?.getTime() ?? 0);
    expect(await sandbox.files.read("kept")).toBe("x");
  });

  test("a command's handle is disposed of at once after its sandbox was destroyed", async () => {
    const gone = await server.create();
    let startedAt = 0;
    {
      await using command = await gone.commands.start("sleep 600");
      expect(command.pid).toBeGreaterThan(0);
      await gone.destroy();
      startedAt = performance.now();
    }
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
