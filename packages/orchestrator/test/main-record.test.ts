/** Goal: what main commands do is known at once, and written seldom, whatever their agents say. */
import { type AgentEvent, InsienError, type MainStatus, type SandboxId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MainRecord } from "../src/app/main-record.ts";

const log = pino({ level: "silent" });
const id = "sandbox1" as SandboxId;
const row = { id, main: undefined };
const event = (restarts: number, over: object = {}): AgentEvent => ({
  ...{ type: "main", state: "running", restarts, maxRetries: 9 },
  at: new Date().toISOString(),
  ...over,
});

let writes: Map<SandboxId, MainStatus>[];
let failures: Error[];
let known: Set<SandboxId>;
let record: MainRecord;

beforeEach(() => {
  [writes, failures, known] = [[], [], new Set([id])];
  const noteMain = async (statuses: ReadonlyMap<SandboxId, MainStatus>) => {
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    writes.push(new Map(statuses));
    return [...statuses.keys()].filter((each) => known.has(each));
  };
  record = new MainRecord({ noteMain }, log);
});
afterEach(async () => {
  await record[Symbol.asyncDispose]();
});

const written = (restarts: number) =>
  waitFor(() => writes.at(-1)?.get(id)?.restarts === restarts, {
    timeoutMs: 10_000,
    describe: `${restarts} restarts to be written`,
  });

describe("MainRecord", () => {
  test("knows at once what is written later, and takes no news that is none", async () => {
    const running = event(0);
    expect(record.note(row, running)).toMatchObject({ state: "running" });
    expect(record.note(row, running)).toBeUndefined();
    expect(record.get(row)).toMatchObject({ state: "running" });
    expect(writes).toEqual([]);
    await written(0);
    const stored = writes[0]?.get(id);
    const another = new MainRecord({ noteMain: async () => [] }, log);
    expect(another.note({ id, main: stored }, running)).toBeUndefined();
    await another[Symbol.asyncDispose]();
  });

  test("a hundred thousand changes are a handful of writes, the last of them among these", async () => {
    const begun = performance.now();
    for (let count = 0; count < 100_000; count += 1) {
      record.note(row, event(count, { signal: "x".repeat(10_000) }));
      if (count % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await written(99_999);
    const seconds = (performance.now() - begun) / 1000;
    expect(writes.length).toBeLessThanOrEqual(Math.ceil(seconds) + 1);
  });

  test("a row that is not there yet is tried again, one that never comes is given up", async () => {
    known.clear();
    record.note(row, event(1));
    await waitFor(() => writes.length === 1);
    known.add(id);
    await waitFor(() => writes.length === 2);
    known.clear();
    record.note(row, event(2));
    await waitFor(() => writes.length === 7, { timeoutMs: 15_000 });
    record.note(row, event(3));
    known.add(id);
    await written(3);
    expect(writes).toHaveLength(8);
  });

  test("waits for a database that is away, and no longer than that", async () => {
    failures.push(new InsienError("database_unavailable", "It is away"));
    record.note(row, event(4));
    await written(4);
  });

  test("a machine that stops stops it, until its agent says otherwise", async () => {
    record.note(row, event(5));
    record.ended(row);
    expect(record.get(row)).toMatchObject({ state: "stopped", restarts: 5 });
    record.note(row, event(6));
    await written(6);
    expect(record.get(row)).toMatchObject({ state: "running" });
    record.ended(row);
    await waitFor(() => writes.at(-1)?.get(id)?.state === "stopped", { timeoutMs: 10_000 });
    // Written, so that the row says it from now on.
    await waitFor(() => record.get(row) === undefined);
  });
});
