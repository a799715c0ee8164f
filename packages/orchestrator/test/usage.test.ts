import { LIMITS, type SandboxId, newId } from "@insien/protocol";
import { beforeAll, describe, expect, test } from "vitest";
import { SandboxUsage } from "../src/app/usage.ts";
import { type Database, type Usage, openDatabase } from "../src/db/index.ts";
import { keepHistory } from "../src/monitor/history.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const { signal } = new AbortController();
const owner = { keyId: "key", ownerId: "owner", admin: false };

describe.for(DATABASES.filter(({ present }) => present))("usage on $kind", ({ prepare }) => {
  let database: Database;
  let service: SandboxUsage;
  beforeAll(async () => {
    database = await openForTests(await prepare());
    const { sandboxes: store, usage } = database;
    service = new SandboxUsage({ store, usage, intervalMs: 5000 });
  });

  const addSandbox = async (): Promise<SandboxId> => {
    const row = newSandboxRow({ state: "running", nodeId: newId() });
    return (await database.sandboxes.insert(row, { type: "sandbox.created" })).id;
  };
  const usageOf = (sandboxId: SandboxId, at: Date, over: Partial<Usage> = {}): Usage => ({
    sandboxId,
    at,
    cpuCores: 1,
    memoryBytes: 10,
    memoryLimitBytes: 100,
    pids: 3,
    networkReceivedBytes: 0,
    networkSentBytes: 0,
    diskReadBytes: 0,
    diskWrittenBytes: 0,
    diskBytes: undefined,
    ...over,
  });
  /** One measurement each five seconds from `from` on. */
  const measure = (id: SandboxId, from: number, count: number, of: (n: number) => Partial<Usage>) =>
    database.usage.add(
      Array.from({ length: count }, (_, number) =>
        usageOf(id, new Date(from + number * 5 * SECOND_MS), of(number)),
      ),
    );
  const settle = (retentionMs = 24 * HOUR_MS) =>
    keepHistory(database.usage, { retentionMs, settledMs: 0, signal });

  test("is given as it was measured, bytes beyond 32 bits included", async () => {
    const id = await addSandbox();
    const from = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 2 * MINUTE_MS;
    const total = 5 * 2 ** 40;
    await measure(id, from + 5 * SECOND_MS, 3, (number) => ({
      cpuCores: number / 2,
      networkSentBytes: total + number,
      ...(number === 2 ? { diskBytes: total } : {}),
    }));
    const range = { from: new Date(from), to: new Date(from + MINUTE_MS) };
    const { stepSeconds, items } = await service.history(owner, id, range);
    expect(stepSeconds).toBe(5);
    expect(items.map(({ at }) => at.getTime() - from)).toEqual([5000, 10_000, 15_000]);
    expect(items.map(({ cpuCores }) => cpuCores)).toEqual([0, 0.5, 1]);
    expect(items.map(({ networkSentBytes }) => networkSentBytes - total)).toEqual([0, 1, 2]);
    expect(items.map(({ diskBytes }) => diskBytes)).toEqual([undefined, undefined, total]);
  });

  test("of longer steps is the mean of cores and the highest of all else", async () => {
    const id = await addSandbox();
    const from = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 3 * MINUTE_MS;
    await measure(id, from + 5 * SECOND_MS, 12, (number) => ({
      cpuCores: number < 6 ? 0 : 1,
      memoryBytes: number === 7 ? 99 : 10,
    }));
    const range = { from: new Date(from), to: new Date(from + MINUTE_MS) };
    const { items } = await service.history(owner, id, { ...range, stepSeconds: 30 });
    expect(items).toMatchObject([
      { at: new Date(from + 30_000), cpuCores: 0, memoryBytes: 10 },
      { at: new Date(from + MINUTE_MS), cpuCores: 1, memoryBytes: 99 },
    ]);
  });

  test("that is old is kept by the minute, and joins what is new without a gap or a copy", async () => {
    const id = await addSandbox();
    const now = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
    const from = now - 3 * HOUR_MS;
    await measure(id, from + 5 * SECOND_MS, 24, (number) => ({ cpuCores: number < 12 ? 2 : 4 }));
    await settle();
    await measure(id, now - MINUTE_MS + 5 * SECOND_MS, 12, () => ({ cpuCores: 6 }));
    const range = { from: new Date(from), to: new Date(now) };
    const { stepSeconds, items } = await service.history(owner, id, range);
    expect(stepSeconds).toBe(60);
    expect(items.map(({ at, cpuCores }) => [(at.getTime() - from) / MINUTE_MS, cpuCores])).toEqual([
      [1, 2],
      [2, 4],
      [180, 6],
    ]);
    // What was measured then is gone, and doing it again changes nothing.
    await settle();
    expect((await service.history(owner, id, range)).items).toEqual(items);
  });

  test("is forgotten when its time is over", async () => {
    // A database of its own: what is older than what was rolled up there comes too late.
    await using own = await openDatabase(await prepare());
    const { id } = await own.sandboxes.insert(newSandboxRow(), { type: "sandbox.created" });
    const from = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS - 10 * HOUR_MS;
    await own.usage.add([usageOf(id, new Date(from + 5 * SECOND_MS))]);
    const query = { from: new Date(from), to: new Date(), stepSeconds: 60, intervalSeconds: 5 };
    const kept = async (hours: number) => {
      await keepHistory(own.usage, { retentionMs: hours * HOUR_MS, settledMs: 0, signal });
      return own.usage.history(id, query);
    };
    expect(await kept(11)).toHaveLength(1);
    expect(await kept(9)).toEqual([]);
  });

  test("of a long range fits into one answer", async () => {
    const id = await addSandbox();
    const to = new Date();
    const from = new Date(to.getTime() - 7 * 24 * HOUR_MS);
    const { stepSeconds } = await service.history(owner, id, { from, to, stepSeconds: 1 });
    expect(stepSeconds % 60).toBe(0);
    expect((to.getTime() - from.getTime()) / 1000 / stepSeconds).toBeLessThan(
      LIMITS.usagePoints.value,
    );
  });

  test("is its owner's alone, and a range ends after it begins", async () => {
    const id = await addSandbox();
    const stranger = { ...owner, ownerId: "stranger" };
    await expect(service.history(stranger, id, {})).rejects.toMatchObject({
      code: "sandbox_not_found",
    });
    const now = new Date();
    await expect(service.history(owner, id, { from: now, to: now })).rejects.toMatchObject({
      code: "invalid_request",
    });
  });

  test("of a sandbox that is forgotten meanwhile is no reason to lose the others'", async () => {
    const id = await addSandbox();
    const gone = newSandboxRow().id;
    const at = new Date();
    await database.usage.add([usageOf(gone, at), usageOf(id, at)]);
    const { items } = await service.history(owner, id, { to: new Date(at.getTime() + 5000) });
    expect(items).toHaveLength(1);
  });
});
