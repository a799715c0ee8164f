import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InsienError, type MachineId, type SandboxId, newSandboxId } from "@insien/protocol";
import type { PreparedTemplate } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Belongings } from "../src/app/belongings.ts";
import type { CreateRequest } from "../src/app/create-request.ts";
import { LiveSandboxes } from "../src/app/live-sandboxes.ts";
import { MachineFactory } from "../src/app/machine-factory.ts";
import { MachinePool } from "../src/app/machine-pool.ts";
import { SandboxLifecycle } from "../src/app/sandbox-lifecycle.ts";
import { TemplateCatalog } from "../src/app/template-catalog.ts";
import type { Database, SandboxRecord } from "../src/db/index.ts";
import { LineServer } from "../src/line/line-server.ts";
import { newCreateRequest } from "./create-request.fixture.ts";
import { openAnyForTests } from "./database.fixture.ts";
import { recordsOf } from "./records.fixture.ts";

const log = pino({ level: "silent" });
const limits = { cpu: 1, memoryBytes: 2 ** 29, pids: 100 };
const template: PreparedTemplate = { name: "base", image: "base", fingerprint: "fake-base" };

const request = newCreateRequest;

/** Something that a sandbox has, which writes down what it is told. */
class Keepsake implements Belongings {
  readonly told: string[] = [];
  refusal: Error | undefined;

  async prepare(row: SandboxRecord, { volumes }: CreateRequest) {
    this.told.push(`prepare ${row.state}`);
    if (this.refusal !== undefined) throw this.refusal;
    const mounts = Object.entries(volumes).map(([volumeId, { mount_path: target }]) => ({
      ...{ volumeId, target, readOnly: false },
    }));
    return { volumes: mounts };
  }

  async running(row: SandboxRecord, asked?: CreateRequest) {
    this.told.push(`running ${asked === undefined ? "again" : "new"}`);
    if (row.name === "unlucky") throw new Error("its port is taken");
  }

  away(row: SandboxRecord) {
    this.told.push(`away ${row.state}`);
  }

  async ended(row: SandboxRecord) {
    const machine = runtime.host.machines.has(row.machineId ?? ("" as MachineId));
    this.told.push(`ended ${machine ? "with" : "without"} its machine`);
  }
}

let home: string;
let dataDirectory: string;
let database: Database;
let lines: LineServer;
let runtime: FakeRuntime;
let pool: MachinePool;
let live: LiveSandboxes;
let lifecycle: SandboxLifecycle;
let keepsake: Keepsake;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "insien-life-"));
  database = await openAnyForTests();
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
  live = new LiveSandboxes(recordsOf(database), (machineId) => {
    void lifecycle.examine(machineId);
  });
  const store = database.sandboxes;
  keepsake = new Keepsake();
  const belongings = [keepsake];
  lifecycle = new SandboxLifecycle(
    { store, runtime, lines, factory, pool, templates, belongings, nodeId: "node", log },
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

  test("what belongs to a sandbox hears of its whole life, in order", async () => {
    await warm(1);
    const { id } = await lifecycle.create(request());
    await lifecycle.stop(id);
    await lifecycle.start(id);
    await lifecycle.destroy(id);
    expect(keepsake.told).toEqual([
      ...["prepare running", "running new", "away running", "running again"],
      ...["away running", "ended without its machine"],
    ]);
  });

  test("a failed sandbox is cleared away, and only then names no machine", async () => {
    const { id, machineId } = await lifecycle.create(request());
    if (machineId === undefined) throw new Error("no machine");
    keepsake.told.length = 0;
    runtime.crash(machineId);
    await waitFor(async () => (await database.sandboxes.get(id))?.machineId === undefined, {
      describe: "the failed sandbox to be cleared away",
    });
    expect(await stateOf(id)).toBe("failed");
    expect(keepsake.told).toEqual(["away running", "ended without its machine"]);
    await lifecycle.finishFail(id);
    expect(keepsake.told).toHaveLength(2);
  });

  test("what is prepared goes into the machine, which is then a new one", async () => {
    await warm(1);
    const volumes = { kept: { mount_path: "/data" } };
    const row = await lifecycle.create(request({ volumes }));
    const machine = runtime.host.machines.get(row.machineId ?? ("" as MachineId));
    expect(machine?.spec.volumes).toMatchObject([{ volumeId: "kept", target: "/data" }]);
    expect(machine?.spec.labels).toEqual({ purpose: "sandbox" });
    expect(keepsake.told).toEqual(["prepare creating", "running new"]);
  });

  test.each([
    ["cold", 0],
    ["warm", 1],
  ])("a %s create that is refused is seen by nobody", async (_kind, pooled) => {
    if (pooled > 0) await warm(pooled);
    keepsake.refusal = new InsienError("conflict", "the name is taken");
    const id = newSandboxId();
    const error = await lifecycle.create(request({ id })).catch((failure: unknown) => failure);
    expect(error).toBe(keepsake.refusal);
    expect(await stateOf(id)).toBe("destroyed");
    expect(keepsake.told.at(-1)).toBe("ended without its machine");
    expect(live.get(id)).toBeUndefined();
    await pool[Symbol.asyncDispose]();
    expect(runtime.host.machines.size).toBe(0);
  });

  test("an accident while a sandbox is prepared is a failure, not a refusal", async () => {
    keepsake.refusal = new InsienError("internal", "the disk is gone");
    const id = newSandboxId();
    await expect(lifecycle.create(request({ id }))).rejects.toBe(keepsake.refusal);
    expect(await stateOf(id)).toBe("failed");
  });

  test("a sandbox runs although something of it cannot be put into service", async () => {
    const { id } = await lifecycle.create(request({ name: "unlucky" }));
    expect(await stateOf(id)).toBe("running");
  });

  test("restart is one act, and starts what is stopped", async () => {
    const { id, machineId } = await lifecycle.create(request());
    const [restarted, after] = await Promise.all([lifecycle.restart(id), lifecycle.stop(id)]);
    expect([restarted.state, after.state]).toEqual(["running", "stopped"]);
    expect(await lifecycle.restart(id)).toMatchObject({ state: "running", machineId });
    expect(live.get(id)?.line.isUp).toBe(true);
  });

  test("a machine is worked on while it is stopped, and runs again if it ran", async () => {
    const { id, machineId } = await lifecycle.create(request());
    const stateOfMachine = async () => (await runtime.inspect(machineId as MachineId))?.state;
    const first = await lifecycle.recreate(id, stateOfMachine);
    expect(first).toMatchObject({ value: "stopped", restarted: true, row: { state: "running" } });
    const failing = lifecycle.recreate(id, () => Promise.reject(new Error("no room")));
    await expect(failing).rejects.toThrow("no room");
    expect(await stateOf(id)).toBe("running");
    await lifecycle.stop(id);
    const second = await lifecycle.recreate(id, stateOfMachine);
    expect(second).toMatchObject({ restarted: false, row: { state: "stopped" } });
  });
});
