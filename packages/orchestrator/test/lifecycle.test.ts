import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InsienError, type SandboxId, newSandboxId } from "@insien/protocol";
import type { PreparedTemplate } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ExecutionRecord } from "../src/app/execution-record.ts";
import { LiveSandboxes } from "../src/app/live-sandboxes.ts";
import { MachineFactory } from "../src/app/machine-factory.ts";
import { MachinePool } from "../src/app/machine-pool.ts";
import { SandboxLifecycle } from "../src/app/sandbox-lifecycle.ts";
import { TemplateCatalog } from "../src/app/template-catalog.ts";
import { type Database, openDatabase } from "../src/db/index.ts";
import { LineServer } from "../src/line/line-server.ts";
import { newCreateRequest } from "./create-request.fixture.ts";

const log = pino({ level: "silent" });
const limits = { cpu: 1, memoryBytes: 2 ** 29, pids: 100 };
const template: PreparedTemplate = { name: "base", image: "base", fingerprint: "fake-base" };

const request = newCreateRequest;

let home: string;
let dataDirectory: string;
let database: Database;
let lines: LineServer;
let runtime: FakeRuntime;
let pool: MachinePool;
let live: LiveSandboxes;
let lifecycle: SandboxLifecycle;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "insien-life-"));
  database = await openDatabase({ dataDirectory: home });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

beforeEach(async () => {
  dataDirectory = await mkdtemp(join(home, "case-"));
  lines = new LineServer({ dataDirectory, jwtSecret: "a secret of this test" });
  runtime = new FakeRuntime({ ownerId: "test" });
  const factory = new MachineFactory(runtime, lines);
  pool = new MachinePool(factory, { parallelRefills: 2, maximum: 8, log });
  const templates = new TemplateCatalog(runtime, [{ name: "base", image: "base" }]);
  live = new LiveSandboxes(new ExecutionRecord(database.events, log), (machineId) => {
    void lifecycle.examine(machineId);
  });
  const store = database.sandboxes;
  lifecycle = new SandboxLifecycle(
    { store, runtime, lines, factory, pool, templates, nodeId: "node", log },
    live,
  );
});

afterEach(async () => {
  await pool[Symbol.asyncDispose]();
  await lines[Symbol.asyncDispose]();
});

const warm = async (size: number) => {
  pool.setTarget({ template, limits, size });
  await waitFor(() => pool.sizes["base"]?.ready === size, { describe: "the pool to be full" });
};
const stateOf = async (id: SandboxId) => (await database.sandboxes.get(id))?.state;
const codeOf = (error: unknown) => (error instanceof InsienError ? error.code : String(error));

describe("SandboxLifecycle", () => {
  test("a warm create takes a pooled machine, a cold one makes its own", async () => {
    const cold = await lifecycle.create(request());
    expect(cold.state).toBe("running");
    await warm(1);
    const [pooled] = [...runtime.host.machines.keys()].filter((id) => id !== cold.machineId);
    const second = await lifecycle.create(request({ environment: { A: "1" }, name: "Its Name" }));
    expect(second.machineId).toBe(pooled);
    expect(await stateOf(second.id)).toBe("running");
  });

  test("a create that fails leaves a failed row and no machine", async () => {
    runtime.failNextCreate(new InsienError("create_failed", "the host is full"));
    const id = newSandboxId();
    const error = await lifecycle.create(request({ id })).catch((failure: unknown) => failure);
    expect(codeOf(error)).toBe("create_failed");
    const row = await database.sandboxes.get(id);
    expect(row?.state).toBe("failed");
    expect(row?.stateReason).toContain("the host is full");
    expect(runtime.host.machines.size).toBe(0);
  });

  test("a create that is sent twice makes one sandbox", async () => {
    await warm(2);
    const id = newSandboxId();
    const [one, two] = await Promise.all([
      lifecycle.create(request({ id })),
      lifecycle.create(request({ id })),
    ]);
    const later = await lifecycle.create(request({ id }));
    expect([two.machineId, later.machineId]).toEqual([one.machineId, one.machineId]);
  });

  test("an id that is another owner's is refused, and that sandbox stays as it is", async () => {
    await warm(2);
    for (const prepare of ["running", "stopped"] as const) {
      const mine = await lifecycle.create(request());
      if (prepare === "stopped") await lifecycle.stop(mine.id);
      const before = await database.sandboxes.get(mine.id);
      const error = await lifecycle
        .create(request({ id: mine.id, ownerId: "stranger" }))
        .catch((failure: unknown) => failure);
      expect(codeOf(error)).toBe("conflict");
      expect(await database.sandboxes.get(mine.id)).toEqual(before);
      expect(live.get(mine.id)?.row.ownerId).toBe(prepare === "running" ? "owner" : undefined);
    }
  });

  test("a machine that dies fails its sandbox with the reason and is removed", async () => {
    const { id, machineId } = await lifecycle.create(request());
    if (machineId === undefined) throw new Error("no machine");
    const line = live.get(id)?.line;
    runtime.crash(machineId, "killed: out of memory");
    await waitFor(async () => (await stateOf(id)) === "failed", { timeoutMs: 2000 });
    expect((await database.sandboxes.get(id))?.stateReason).toContain("killed: out of memory");
    expect(codeOf(line?.lost.reason)).toBe("sandbox_failed");
    await waitFor(() => !runtime.host.machines.has(machineId));
  });

  test("stop keeps the machine, start brings it back, destroy removes it once", async () => {
    const { id, machineId } = await lifecycle.create(request());
    expect((await lifecycle.stop(id)).state).toBe("stopped");
    expect(live.get(id)).toBeUndefined();
    expect((await lifecycle.start(id)).state).toBe("running");
    expect(live.get(id)?.line.machineId).toBe(machineId);
    expect(await lifecycle.destroy(id)).toBe(true);
    expect(await lifecycle.destroy(id)).toBe(false);
    expect(runtime.host.machines.size).toBe(0);
    expect(await stateOf(id)).toBe("destroyed");
  });
});
