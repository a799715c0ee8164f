import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MachineId, type SandboxId, newId, newMachineId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Database } from "../src/db/index.ts";
import { Monitor } from "../src/monitor/monitor.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { MeteredRuntime } from "./metered-runtime.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const log = pino({ level: "silent" });
const HOUR_MS = 3600 * 1000;

describe.for(DATABASES.filter(({ present }) => present))("the monitor on $kind", ({ prepare }) => {
  let database: Database;
  let dataDirectory: string;
  beforeAll(async () => {
    database = await openForTests(await prepare());
    dataDirectory = await mkdtemp(join(tmpdir(), "insien-monitor-"));
  });
  afterAll(() => rm(dataDirectory, { recursive: true, force: true }));

  let runtime: MeteredRuntime;
  let nodeId: string;
  beforeEach(() => {
    nodeId = newId();
    runtime = new MeteredRuntime({ ownerId: nodeId });
  });

  const start = (over: { holder?: string; intervalMs?: number } = {}) =>
    new Monitor({
      database,
      runtime,
      nodeId,
      holder: over.holder ?? newId(),
      dataDirectory,
      intervalMs: over.intervalMs ?? 20,
      diskIntervalMs: 20,
      retentionMs: HOUR_MS,
      memoryHigh: 0.9,
      diskHighBytes: 1000,
      log,
    });

  const addSandbox = async (startedAt = new Date(Date.now() + 1000)) => {
    const machineId = newMachineId();
    const row = newSandboxRow({ state: "running", nodeId, machineId, startedAt });
    const { id } = await database.sandboxes.insert(row, { type: "sandbox.created" });
    return { id, machineId };
  };

  const samplesOf = (id: SandboxId) =>
    database.usage.history(id, {
      from: new Date(Date.now() - HOUR_MS / 2),
      to: new Date(Date.now() + HOUR_MS),
      stepSeconds: 1,
      intervalSeconds: 5,
    });
  const newsOf = async (id: SandboxId) =>
    (await database.events.list(id)).filter(({ type }) => type !== "sandbox.created");
  /** A round that began after the call. */
  const nextRound = async () => {
    const after = runtime.measurements + 2;
    await waitFor(() => runtime.measurements >= after, { describe: "a round of the monitor" });
  };

  test("writes down what was measured; cores are what was used in between", async () => {
    const { id, machineId } = await addSandbox();
    const at = new Date(Math.floor(Date.now() / 1000) * 1000);
    runtime.use(machineId, { at: new Date(at.getTime() - 4000), cpuSeconds: 10 });
    await using _monitor = start();
    await nextRound();
    expect(await samplesOf(id)).toEqual([]);
    const used = {
      memoryBytes: 50,
      memoryLimitBytes: 2 ** 40,
      pids: 7,
      networkReceivedBytes: 1,
      networkSentBytes: 2,
      diskReadBytes: 3,
      diskWrittenBytes: 4,
    };
    runtime.use(machineId, { at, cpuSeconds: 16, ...used });
    await waitFor(async () => (await samplesOf(id)).length > 0, { describe: "a sample" });
    const [sample] = await samplesOf(id);
    expect(sample).toMatchObject({ at, cpuCores: 1.5, ...used });
  });

  test("says nothing of a machine that is not there, nor of another node's", async () => {
    const [here, gone] = [await addSandbox(), await addSandbox()];
    const elsewhere = newSandboxRow({
      state: "running",
      nodeId: newId(),
      machineId: newMachineId(),
    });
    await database.sandboxes.insert(elsewhere, { type: "sandbox.created" });
    for (const id of [here.machineId, elsewhere.machineId as MachineId]) runtime.use(id);
    await using _monitor = start();
    await nextRound();
    runtime.use(here.machineId, { at: new Date(Date.now() + 1000) });
    runtime.use(elsewhere.machineId as MachineId, { at: new Date(Date.now() + 1000) });
    await waitFor(async () => (await samplesOf(here.id)).length > 0, { describe: "a sample" });
    expect(await samplesOf(gone.id)).toEqual([]);
    expect(await samplesOf(elsewhere.id)).toEqual([]);
  });

  test("tells kills for want of memory, as many as there were, once", async () => {
    const { id, machineId } = await addSandbox();
    runtime.use(machineId, { outOfMemoryKills: 2 });
    await using _monitor = start();
    await waitFor(async () => (await newsOf(id)).length === 1, { describe: "the first event" });
    await nextRound();
    runtime.use(machineId, { outOfMemoryKills: 3 });
    await waitFor(async () => (await newsOf(id)).length === 2, { describe: "the second event" });
    await nextRound();
    expect(await newsOf(id)).toMatchObject([
      { type: "sandbox.out_of_memory", data: { count: 2, memory_limit_bytes: 100 } },
      { type: "sandbox.out_of_memory", data: { count: 1 } },
    ]);
  });

  test("does not tell again what was before it began", async () => {
    const { id, machineId } = await addSandbox(new Date(Date.now() - HOUR_MS));
    runtime.use(machineId, { outOfMemoryKills: 5 });
    await using _monitor = start();
    await nextRound();
    runtime.use(machineId, { outOfMemoryKills: 6 });
    await waitFor(async () => (await newsOf(id)).length === 1, { describe: "the event" });
    expect(await newsOf(id)).toMatchObject([{ data: { count: 1 } }]);
  });

  test("tells each crossing of a threshold once, and not its trembling", async () => {
    const { id, machineId } = await addSandbox();
    const high = "sandbox.memory_high";
    runtime.use(machineId, { memoryBytes: 89 });
    await using _monitor = start();
    await nextRound();
    expect(await newsOf(id)).toEqual([]);
    runtime.use(machineId, { memoryBytes: 90 });
    await waitFor(async () => (await newsOf(id)).length === 1, { describe: "the first event" });
    for (const memoryBytes of [88, 95, 85, 99]) {
      runtime.use(machineId, { memoryBytes });
      await nextRound();
    }
    expect(await newsOf(id)).toMatchObject([
      { type: high, data: { bytes: 90, memory_limit_bytes: 100 } },
    ]);
    runtime.use(machineId, { memoryBytes: 50 });
    await nextRound();
    runtime.use(machineId, { memoryBytes: 91 });
    await waitFor(async () => (await newsOf(id)).length === 2, { describe: "the next crossing" });
  });

  test("measures disks, notes them with the sandbox, and tells a full one", async () => {
    const { id, machineId } = await addSandbox();
    runtime.use(machineId);
    runtime.disks.set(machineId, 999);
    await using _monitor = start();
    const sizeOf = async () => (await database.sandboxes.get(id))?.diskBytes;
    await waitFor(async () => (await sizeOf()) === 999, { describe: "the size" });
    expect(await newsOf(id)).toEqual([]);
    runtime.disks.set(machineId, 1001);
    await waitFor(async () => (await newsOf(id)).length === 1, { describe: "the event" });
    expect(await newsOf(id)).toMatchObject([
      { type: "sandbox.disk_high", data: { bytes: 1001, threshold: 1000 } },
    ]);
    expect((await database.sandboxes.get(id))?.version).toBe(1);
    runtime.use(machineId, { at: new Date(Date.now() + 2000) });
    await waitFor(async () => (await samplesOf(id))[0]?.diskBytes === 1001, {
      describe: "a sample with the size",
    });
  });

  test("of several one measures, and the next when that one ends", async () => {
    const first = start({ holder: "first" });
    await waitFor(() => first.isOurs, { describe: "the first to work" });
    await using second = start({ holder: "second" });
    await nextRound();
    expect(second.isOurs).toBe(database.kind === "embedded");
    await first[Symbol.asyncDispose]();
    expect(first.isOurs).toBe(false);
    await waitFor(() => second.isOurs, { describe: "the second to work" });
    await nextRound();
  });

  test("a slow round costs the next ones, and is waited for", async () => {
    await addSandbox();
    const { promise, resolve } = Promise.withResolvers<void>();
    runtime.measuring = promise;
    await using _monitor = start({ intervalMs: 5 });
    await waitFor(() => runtime.measurements === 1, { describe: "the slow round" });
    const later = performance.now() + 100;
    await waitFor(() => performance.now() > later, { describe: "many intervals to pass" });
    expect(runtime.measurements).toBe(1);
    resolve();
    await waitFor(() => runtime.measurements > 2, { describe: "rounds to go on" });
  });
});
