import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InsienError } from "@insien/protocol";
import type { PreparedTemplate } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MachineFactory } from "../src/app/machine-factory.ts";
import { MachinePool } from "../src/app/machine-pool.ts";
import { LineServer } from "../src/line/line-server.ts";

const template: PreparedTemplate = { name: "base", image: "base", fingerprint: "one" };
const limits = { cpu: 1, memoryBytes: 2 ** 29, pids: 100 };
const log = pino({ level: "warn" });

let dataDirectory: string;
let lines: LineServer;
let runtime: FakeRuntime;
let factory: MachineFactory;
let pool: MachinePool;

beforeEach(async () => {
  dataDirectory = await mkdtemp(join(tmpdir(), "insien-pool-"));
  lines = new LineServer({ dataDirectory, jwtSecret: "a secret of this test" });
  runtime = new FakeRuntime({ ownerId: "test" });
  factory = new MachineFactory(runtime, lines);
  pool = new MachinePool(factory, { parallelRefills: 2, maximum: 8, log });
});

afterEach(async () => {
  await pool[Symbol.asyncDispose]();
  await lines[Symbol.asyncDispose]();
  await rm(dataDirectory, { recursive: true, force: true });
});

const ready = (count: number) =>
  waitFor(() => pool.sizes["base"]?.ready === count, { describe: `${count} warm machines` });

describe("MachinePool", () => {
  test("fills to its size, and again after a claim", async () => {
    pool.setTarget({ template, limits, size: 3 });
    await ready(3);
    const machine = pool.claim(template);
    expect(machine?.line.isUp).toBe(true);
    await ready(3);
    expect(runtime.host.machines.size).toBe(4);
  });

  test("refills at once when it is drained", async () => {
    pool.setTarget({ template, limits, size: 1 });
    await ready(1);
    pool.claim(template);
    expect(pool.sizes["base"]?.filling).toBe(1);
    expect(pool.claim(template)).toBeUndefined();
  });

  test("never holds more than its maximum, whatever is asked for", async () => {
    pool.setTarget({ template, limits, size: 20 });
    await ready(8);
    expect(runtime.host.machines.size).toBe(8);
  });

  test("gives no machine of another fingerprint, and replaces those it has", async () => {
    pool.setTarget({ template, limits, size: 2 });
    await ready(2);
    const changed = { ...template, fingerprint: "two" };
    expect(pool.claim(changed)).toBeUndefined();
    pool.setTarget({ template: changed, limits, size: 2 });
    await ready(2);
    expect(pool.claim(changed)?.template.fingerprint).toBe("two");
    await waitFor(
      () => [...runtime.host.machines.values()].every((each) => each.machine.fingerprint === "two"),
      {
        describe: "the old machines to be gone",
      },
    );
  });

  test("makes no more machines of a template that has changed, whatever becomes of the old ones", async () => {
    pool.setTarget({ template, limits, size: 2 });
    await ready(2);
    const claimed = pool.claim(template);
    if (claimed === undefined) throw new Error("no machine");
    const changed = { ...template, fingerprint: "two" };
    pool.setTarget({ template: changed, limits, size: 2 });
    const create = vi.spyOn(runtime, "create");
    await factory.destroy(claimed.machineId, "its sandbox was destroyed");
    await ready(2);
    expect(create.mock.calls.map(([{ template: made }]) => made.fingerprint)).not.toContain("one");
    expect(runtime.host.machines.size).toBe(2);
  });

  test("replaces a warm machine that dies", async () => {
    pool.setTarget({ template, limits, size: 1 });
    await ready(1);
    const [first] = runtime.host.machines.keys();
    if (first === undefined) throw new Error("no machine");
    runtime.crash(first);
    await waitFor(() => !runtime.host.machines.has(first), {
      describe: "the dead machine to be removed",
    });
    await ready(1);
  });

  test("goes on after a machine could not be made", async () => {
    runtime.failNextCreate(new InsienError("create_failed", "the host is full"));
    pool.setTarget({ template, limits, size: 1 });
    await ready(1);
  });

  test("leaves nothing behind when it closes", async () => {
    pool.setTarget({ template, limits, size: 3 });
    await ready(3);
    await pool[Symbol.asyncDispose]();
    expect(runtime.host.machines.size).toBe(0);
    expect(await readdir(join(dataDirectory, "lines"))).toEqual([]);
  });
});
