import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Runtime } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig } from "../src/config.ts";
import type { Check } from "../src/doctor/check.ts";
import { examine } from "../src/doctor/examine.ts";
import { checkDataDirectory } from "../src/doctor/host-checks.ts";
import { checkDocker } from "../src/doctor/runtime-checks.ts";
import { writeServerFile } from "../src/server-file.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-doctor-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

interface Examination {
  environment?: Record<string, string>;
  openRuntime?: () => Promise<{ runtime: Runtime; reason: string }>;
  prepareKit?: () => Promise<{ directory: string }>;
}

async function diagnose(options: Examination = {}): Promise<Map<string, Check>> {
  const environment = {
    INSIEN_RUNTIME: "bubblewrap",
    PORT: "0",
    WS_PORT: "0",
    ...options.environment,
  };
  const checks = await examine({
    config: await loadConfig({ environment, directory }),
    openRuntime: () =>
      Promise.resolve({ runtime: new FakeRuntime({ ownerId: "doctor" }), reason: "a test" }),
    prepareKit: () => Promise.resolve({ directory }),
    ...options,
  });
  return new Map(checks.map((check) => [check.name, check]));
}

/** Listens until it is disposed of. */
async function listening(handler = createServer()): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((resolve) => handler.listen(0, "127.0.0.1", resolve));
  return {
    port: (handler.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        handler.closeAllConnections();
        handler.close(() => resolve());
      }),
  };
}

const health = (status: string) =>
  createServer((_request, answer) => {
    const database = status === "ok" ? "ok" : "down";
    answer.end(JSON.stringify({ status, version: "1.2.3", runtime: "fake", database }));
  });

async function sayServer(port: number, pid = process.pid): Promise<void> {
  const dataDirectory = join(directory, ".insien");
  await mkdir(dataDirectory, { recursive: true });
  await writeServerFile(dataDirectory, {
    pid,
    url: `http://127.0.0.1:${port}`,
    webSocketUrl: `ws://127.0.0.1:${port + 1}`,
    startedAt: new Date().toISOString(),
  });
}

describe("the doctor", () => {
  test("finds nothing wrong with a machine that is well", async () => {
    const checks = await diagnose();
    expect([...checks.values()].filter(({ status }) => status === "failed")).toEqual([]);
    expect(checks.get("data directory")?.found).toMatch(/can be written; \d.* are free/);
    expect(checks.get("memory")?.found).toMatch(/GiB.* are available|MiB.* are available/);
    expect(checks.get("database")?.found).toContain("embedded");
  });

  test("says what it cannot be without, and what to do", async () => {
    const checks = await diagnose({
      openRuntime: () => Promise.reject(new Error("bwrap is not installed")),
      prepareKit: () => Promise.reject(new Error("no space left")),
    });
    expect(checks.get("runtime")).toMatchObject({
      status: "failed",
      found: "bwrap is not installed",
    });
    expect(checks.get("agent's kit")).toMatchObject({ status: "failed" });
    for (const { status, advice } of checks.values())
      if (status !== "ok") expect(advice).toMatch(/^[A-Z].*\.$/s);
  });

  test("warns of limits that the runtime cannot hold to", async () => {
    expect((await diagnose()).get("runtime")).toMatchObject({
      status: "warning",
      found: "fake: a test. It cannot limit memory and cpu and pids",
    });
  });

  test("tells a free port from one that somebody holds, and from the server's own", async () => {
    await using other = await listening();
    const taken = { PORT: String(other.port), WS_PORT: "0" };
    const refused = (await diagnose({ environment: taken })).get("port");
    expect(refused).toMatchObject({ status: "failed", advice: expect.stringContaining("PORT") });
    expect(refused?.found).toContain("EADDRINUSE");
    await using server = await listening(health("ok"));
    await sayServer(server.port);
    const own = { PORT: String(server.port), WS_PORT: String(server.port + 1) };
    const checks = await diagnose({ environment: own });
    expect(checks.get("port")).toMatchObject({
      status: "ok",
      found: expect.stringContaining("running server's"),
    });
    expect(checks.get("WebSocket port")?.status).toBe("ok");
    expect(checks.get("server")?.found).toContain("1.2.3");
    expect(checks.get("database")?.found).toBe("The embedded one answers its server");
  });

  test("asks the server that runs, and says when it is ill or silent", async () => {
    const ill = await listening(health("degraded"));
    await sayServer(ill.port);
    const checks = await diagnose();
    expect(checks.get("server")?.status).toBe("warning");
    expect(checks.get("database")).toMatchObject({
      status: "failed",
      found: "The embedded one is down",
    });
    await ill[Symbol.asyncDispose]();
    expect((await diagnose()).get("server")?.status).toBe("failed");
  });

  test("is not misled by what a killed server left", async () => {
    const never = 2 ** 22 - 1;
    await sayServer(1, never);
    expect((await diagnose()).get("server")).toMatchObject({ status: "ok" });
  });

  test("says when the data directory cannot be written", async () => {
    // Nobody makes files there, root included.
    expect(await checkDataDirectory("/proc")).toMatchObject({
      status: "failed",
      advice: expect.stringContaining("INSIEN_DATA_DIR"),
    });
  });

  test("says that no daemon answers: a failure only where it was asked for", async () => {
    const socketPath = join(directory, "no-such.sock");
    expect(await checkDocker("docker", socketPath)).toMatchObject([{ status: "failed" }]);
    expect(await checkDocker("auto", socketPath)).toMatchObject([{ status: "warning" }]);
    expect(await checkDocker("bubblewrap", socketPath)).toEqual([]);
    const daemon = createServer((request, answer) => {
      const info = {
        ServerVersion: "20.10",
        CgroupVersion: "2",
        CpuCfsQuota: true,
        PidsLimit: true,
      };
      answer.end(JSON.stringify(request.url === "/info" ? { ...info, MemoryLimit: false } : {}));
    });
    await new Promise<void>((resolve) => daemon.listen(socketPath, resolve));
    expect(await checkDocker("docker", socketPath)).toMatchObject([
      { status: "warning", found: "Docker 20.10 answers, with cgroup v2, but cannot limit memory" },
    ]);
    daemon.closeAllConnections();
    await new Promise((resolve) => daemon.close(resolve));
  });

  describe.for(DATABASES.filter(({ present, kind }) => present && kind === "postgresql"))(
    "of a PostgreSQL",
    ({ prepare }) => {
      test("tells one whose tables are due from one that is up to date, and touches neither", async () => {
        const options = await prepare();
        const environment = { DATABASE_URL: options.url ?? "" };
        for (let times = 0; times < 2; times += 1) {
          const before = (await diagnose({ environment })).get("database");
          expect(before).toMatchObject({
            status: "warning",
            found: expect.stringMatching(/are due/),
          });
        }
        await openForTests(options);
        const after = (await diagnose({ environment })).get("database");
        expect(after?.found).toMatch(/answers in .* ms; its tables are up to date/);
        expect(after?.status).toBe("ok");
      });
    },
  );

  test("says that a PostgreSQL does not answer, without its password", async () => {
    await using nobody = await listening();
    const { port } = nobody;
    await nobody[Symbol.asyncDispose]();
    const url = `postgresql://me:hidden@127.0.0.1:${port}/insien`;
    const check = (await diagnose({ environment: { DATABASE_URL: url } })).get("database");
    expect(check).toMatchObject({
      status: "failed",
      advice: expect.stringContaining("DATABASE_URL"),
    });
    expect(JSON.stringify(check)).not.toContain("hidden");
  });

  test("leaves nothing behind in the data directory", async () => {
    const checks = await diagnose();
    expect(checks.get("data directory")?.status).toBe("ok");
    expect(await readdir(join(directory, ".insien"))).toEqual(["jwt-secret"]);
  });
});
