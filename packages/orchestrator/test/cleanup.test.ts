import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SandboxId, newId, newMachineId } from "@insien/protocol";
import type { Leftover, Leftovers } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SandboxMoves } from "../src/app/sandbox-moves.ts";
import { Cleanup } from "../src/cleanup/cleanup.ts";
import { expiredSandboxes } from "../src/cleanup/expired-sandboxes.ts";
import type { Finder, Finding } from "../src/cleanup/finding.ts";
import { oldRecords } from "../src/cleanup/old-records.ts";
import { orphanedMachines } from "../src/cleanup/orphaned-machines.ts";
import { leftovers } from "../src/cleanup/unused-storage.ts";
import type { Database } from "../src/db/index.ts";
import { lockDirectory } from "../src/db/directory-lock.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { startHttpFixture } from "./http-fixture.ts";
import { STRANGER, STRANGER_KEY } from "./application-double.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const log = pino({ level: "silent" });
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const ago = (ms: number): Date => new Date(Date.now() - ms);

const template = { name: "base", image: "base", fingerprint: "base" };
const limits = { cpu: 1, memoryBytes: 2 ** 29, pids: 100 };

describe.for(DATABASES.filter(({ present }) => present))("cleanup on $kind", ({ prepare }) => {
  let database: Database;
  let directory: string;
  beforeAll(async () => {
    database = await openForTests(await prepare());
    directory = await mkdtemp(join(tmpdir(), "insien-cleanup-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  let nodeId: string;
  let runtime: FakeRuntime;
  beforeEach(() => {
    nodeId = newId();
    runtime = new FakeRuntime({ ownerId: nodeId });
  });

  const cleanupOf = (...finders: Finder[]) => new Cleanup({ finders, log });
  const addSandbox = (over: Parameters<typeof newSandboxRow>[0] = {}) =>
    database.sandboxes.insert(newSandboxRow({ state: "running", nodeId, ...over }), {
      type: "sandbox.created",
    });
  const stateOf = async (id: SandboxId) => (await database.sandboxes.get(id))?.state;

  describe("of sandboxes", () => {
    const sandboxes = () =>
      cleanupOf(
        expiredSandboxes({
          store: database.sandboxes,
          moves: new SandboxMoves(database.sandboxes, nodeId),
        }),
      );

    test("writes the wish to destroy those long expired, of nodes that are down too", async () => {
      const expiresAt = ago(5 * MINUTE_MS);
      const [here, elsewhere] = [
        await addSandbox({ expiresAt }),
        await addSandbox({ expiresAt, nodeId: newId() }),
      ];
      const just = await addSandbox({ expiresAt: ago(1000) });
      const idle = await addSandbox({ idleTimeoutSeconds: 60, lastActivityAt: ago(HOUR_MS) });
      const planned = await sandboxes().run({ dryRun: true });
      const ids = planned.map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining([here.id, elsewhere.id]));
      expect(ids).not.toContain(just.id);
      expect(ids).not.toContain(idle.id);
      expect(await stateOf(here.id)).toBe("running");
      expect(planned.every(({ removed }) => removed === undefined)).toBe(true);

      const done = await sandboxes().run({ dryRun: false });
      expect(done.filter(({ id }) => ids.includes(id)).every(({ removed }) => removed)).toBe(true);
      expect(await stateOf(here.id)).toBe("destroying");
      expect(await stateOf(elsewhere.id)).toBe("destroying");
      expect(await stateOf(idle.id)).toBe("running");
      const events = await database.events.list(elsewhere.id);
      expect(events.at(-1)?.data).toEqual({ reason: "Its time to live was over" });
      expect((await sandboxes().run({ dryRun: true })).map(({ id }) => id)).not.toContain(here.id);
    });
  });

  describe("of machines", () => {
    const machines = (over: { holdNode?: () => Promise<Disposable | undefined> } = {}) =>
      cleanupOf(
        orphanedMachines({
          runtime,
          store: database.sandboxes,
          nodes: database.nodes,
          nodeId,
          holdNode: () => Promise.resolve({ [Symbol.dispose]: () => undefined }),
          ...over,
        }),
      );
    /** As a crash leaves it: made long ago, for the pool or for a sandbox. */
    const addMachine = async (ageMs = HOUR_MS, ownerId = nodeId) => {
      const machineId = newMachineId();
      const owner = new FakeRuntime({ ownerId, host: runtime.host });
      const lineDirectory = await mkdtemp(join(directory, "line-"));
      await writeFile(join(lineDirectory, "token"), "a token");
      const labels = { purpose: "pool" };
      await owner.create({ machineId, template, limits, network: "none", lineDirectory, labels });
      const found = runtime.host.machines.get(machineId);
      if (found !== undefined) found.machine = { ...found.machine, createdAt: ago(ageMs) };
      return machineId;
    };
    const present = () => [...runtime.host.machines.keys()];

    test("removes those of no sandbox while the server is down", async () => {
      const [orphan, young, owned, stopped, failed] = [
        await addMachine(),
        await addMachine(MINUTE_MS),
        await addMachine(),
        await addMachine(),
        await addMachine(),
      ];
      await addSandbox({ machineId: owned });
      await addSandbox({ machineId: stopped, state: "stopped" });
      await addSandbox({ machineId: failed, state: "failed", endedAt: ago(HOUR_MS) });
      expect((await machines().run({ dryRun: true })).map(({ id }) => id).sort()).toEqual(
        [orphan, failed].sort(),
      );
      expect(present()).toHaveLength(5);
      await machines().run({ dryRun: false });
      expect(present().sort()).toEqual([young, owned, stopped].sort());
    });

    test("touches none while the server lives, and none of another owner's ever", async () => {
      const ours = await addMachine();
      const foreign = await addMachine(HOUR_MS, newId());
      const node = { id: nodeId, url: "http://localhost:1", startedAt: new Date() };
      await database.nodes.heartbeat(node);
      expect(await machines().run({ dryRun: false })).toEqual([]);
      expect(present()).toEqual([ours, foreign]);
      await database.nodes.remove(nodeId);
      await machines().run({ dryRun: false });
      expect(present()).toEqual([foreign]);
    });

    test("holds the node while it removes one, so that no server comes up meanwhile", async () => {
      await addMachine();
      const data = await mkdtemp(join(directory, "node-"));
      const tryHold = async () => {
        try {
          return lockDirectory(data, process.pid, 0);
        } catch {
          return undefined;
        }
      };
      const server = await tryHold();
      const [item] = await machines({ holdNode: tryHold }).run({ dryRun: false });
      expect(item).toMatchObject({ kind: "machine", removed: false });
      expect(present()).toHaveLength(1);
      server?.[Symbol.dispose]();
      let wasHeld: Disposable | undefined | "not asked" = "not asked";
      const destroy = runtime.destroy.bind(runtime);
      runtime.destroy = async (machineId) => {
        wasHeld = await tryHold();
        return destroy(machineId);
      };
      await machines({ holdNode: tryHold }).run({ dryRun: false });
      expect(wasHeld).toBeUndefined();
      expect(present()).toEqual([]);
      using free = await tryHold();
      expect(free).toBeDefined();
    });

    test("leaves one that was given to a sandbox since it was looked for", async () => {
      const machineId = await addMachine();
      const holdNode = async () => {
        await addSandbox({ machineId });
        return { [Symbol.dispose]: () => undefined };
      };
      const [item] = await machines({ holdNode }).run({ dryRun: false });
      expect(item).toMatchObject({ id: machineId, removed: false });
      expect(present()).toEqual([machineId]);
    });
  });

  test("of records forgets what ended before the time that they are kept", async () => {
    const old = await addSandbox({ state: "destroyed", endedAt: ago(3 * HOUR_MS) });
    const recent = await addSandbox({ state: "destroyed", endedAt: ago(HOUR_MS) });
    const records = cleanupOf(oldRecords({ store: database.sandboxes, retentionMs: 2 * HOUR_MS }));
    expect(await records.run({ dryRun: true })).toMatchObject([{ kind: "record" }]);
    expect(await database.sandboxes.get(old.id)).toBeDefined();
    expect(await records.run({ dryRun: false })).toMatchObject([{ removed: true }]);
    expect(await database.sandboxes.get(old.id)).toBeUndefined();
    expect(await database.sandboxes.get(recent.id)).toBeDefined();
    expect(await records.run({ dryRun: false })).toEqual([]);
  });
});

describe("cleanup", () => {
  const finding = (id: string, remove: Finding["remove"]): Finding => ({
    kind: "image",
    id,
    reason: "A test made it",
    bytes: 7,
    remove,
  });
  const finderOf = (...found: Finding[]): Finder => ({
    kind: "image",
    find: () => Promise.resolve(found),
  });

  test("goes on past what cannot be found or removed, and says so", async () => {
    const broken: Finder = { kind: "network", find: () => Promise.reject(new Error("no daemon")) };
    const outcomes: string[] = [];
    const cleanup = new Cleanup({
      finders: [
        broken,
        finderOf(
          finding("busy", () => Promise.reject(new Error("in use"))),
          finding("gone", () => Promise.resolve(false)),
          finding("free", () => Promise.resolve(true)),
        ),
      ],
      log,
      onRemoved: (kind, outcome) => outcomes.push(`${kind} ${outcome}`),
    });
    expect(await cleanup.run({ dryRun: false })).toEqual([
      { kind: "network", id: "*", reason: "These could not be looked for", error: "no daemon" },
      {
        kind: "image",
        id: "busy",
        reason: "A test made it",
        bytes: 7,
        removed: false,
        error: "in use",
      },
      { kind: "image", id: "gone", reason: "A test made it", bytes: 7, removed: false },
      { kind: "image", id: "free", reason: "A test made it", bytes: 7, removed: true },
    ]);
    expect(outcomes).toEqual(["image failed", "image removed"]);
  });

  test("comes one after the other", async () => {
    let atOnce = 0;
    let most = 0;
    const find = async () => {
      atOnce += 1;
      most = Math.max(most, atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      atOnce -= 1;
      return [];
    };
    const cleanup = new Cleanup({ finders: [{ kind: "image", find }], log });
    await Promise.all([1, 2, 3].map(() => cleanup.run({ dryRun: true })));
    expect(most).toBe(1);
  });

  test("keeps built images for the next build, and networks for what is being made", async () => {
    const all: Leftover[] = [
      { kind: "image", id: "old image", reason: "Unused", createdAt: ago(3 * HOUR_MS) },
      { kind: "image", id: "new image", reason: "Unused", createdAt: ago(HOUR_MS) },
      { kind: "network", id: "old network", reason: "Unused", createdAt: ago(HOUR_MS) },
      { kind: "network", id: "new network", reason: "Unused", createdAt: ago(MINUTE_MS) },
    ];
    const removed: string[] = [];
    class LittleLeft extends FakeRuntime {
      readonly leftovers: Leftovers = {
        find: () => Promise.resolve(all),
        remove: async ({ id }) => removed.push(id) > 0,
      };
    }
    const runtime = new LittleLeft({ ownerId: "owner" });
    const finders = [leftovers({ runtime, imageRetentionMs: 2 * HOUR_MS })];
    await new Cleanup({ finders, log }).run({ dryRun: false });
    expect(removed).toEqual(["old image", "old network"]);
  });

  test("is an administrator's to ask for", async () => {
    await using http = await startHttpFixture();
    const url = "/api/v1/maintenance/cleanup";
    expect((await http.send("GET", url)).body).toEqual({ dry_run: true, items: [] });
    expect((await http.send("POST", url)).body).toEqual({ dry_run: false, items: [] });
    const dry = await http.send("POST", url, { body: { dry_run: true } });
    expect(dry.body).toEqual({ dry_run: true, items: [] });
    for (const method of ["GET", "POST"])
      expect((await http.send(method, url, { key: STRANGER_KEY })).status).toBe(403);
    const cleanup = new Cleanup({ finders: [], log });
    expect(() => cleanup.cleanup(STRANGER, { dryRun: true })).toThrow(/administrator/);
  });
});
