/**
 * Two nodes on one database want different things of one sandbox at the same moment. One of them
 * gets its way, the row tells one story, and the machine is touched by the node that made it alone.
 */
import { join } from "node:path";
import { InsienError } from "@insien/protocol";
import { FakeHost, FakeRuntime } from "@insien/runtime/fake";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { LiveSandboxes } from "../src/app/live-sandboxes.ts";
import { MachineFactory } from "../src/app/machine-factory.ts";
import { MachinePool } from "../src/app/machine-pool.ts";
import { SandboxLifecycle } from "../src/app/sandbox-lifecycle.ts";
import { TemplateCatalog } from "../src/app/template-catalog.ts";
import type { Database } from "../src/db/index.ts";
import { LineServer } from "../src/line/line-server.ts";
import { DATABASES, openForTests, temporaryDirectory } from "./database.fixture.ts";
import { newCreateRequest } from "./create-request.fixture.ts";
import { recordsOf } from "./records.fixture.ts";

const log = pino({ level: "silent" });
const ROUNDS = 25;

const request = newCreateRequest();

/** What a node is made of, below its doors; all share a host, as nodes may share a daemon. */
class TestNode implements AsyncDisposable {
  readonly runtime: FakeRuntime;
  readonly live: LiveSandboxes;
  readonly lifecycle: SandboxLifecycle;
  readonly #pool: MachinePool;
  readonly #lines: LineServer;

  constructor(nodeId: string, host: FakeHost, database: Database, dataDirectory: string) {
    this.runtime = new FakeRuntime({ ownerId: nodeId, host });
    const { runtime } = this;
    this.#lines = new LineServer({ dataDirectory, jwtSecret: `secret of ${nodeId}` });
    const lines = this.#lines;
    const factory = new MachineFactory(runtime, lines);
    this.#pool = new MachinePool(factory, { parallelRefills: 1, maximum: 1, log });
    const templates = new TemplateCatalog(runtime, [{ name: "base", image: "base" }]);
    this.live = new LiveSandboxes(recordsOf(database), (machineId) => {
      void this.lifecycle.examine(machineId);
    });
    const parts = { store: database.sandboxes, runtime, lines, factory, templates, nodeId, log };
    this.lifecycle = new SandboxLifecycle(
      { ...parts, pool: this.#pool, belongings: [] },
      this.live,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    await this.#lines[Symbol.asyncDispose]();
  }
}

const postgresql = DATABASES.filter(({ kind, present }) => kind === "postgresql" && present);

describe.for(postgresql)("two nodes on one $kind", ({ prepare }) => {
  let host: FakeHost;
  let database: Database;
  let holder: TestNode;
  let other: TestNode;

  beforeAll(async () => {
    const options = await prepare();
    database = await openForTests(options);
    const second = await openForTests(options);
    const directory = await temporaryDirectory();
    host = new FakeHost();
    holder = new TestNode("holder", host, database, join(directory, "holder"));
    other = new TestNode("other", host, second, join(directory, "other"));
  });
  afterAll(async () => {
    await holder?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  });

  const eventsOf = async (id: Parameters<SandboxLifecycle["destroy"]>[0]) =>
    (await database.events.list(id, {})).map(({ type }) => type);

  test("destroyed by both, extended and expired at once: one wins, nothing is left", async () => {
    const touched = vi.spyOn(other.runtime, "destroy");
    for (let round = 0; round < ROUNDS; round += 1) {
      const { id, machineId } = await holder.lifecycle.create(request);
      expect(machineId !== undefined && host.machines.has(machineId)).toBe(true);
      const wishes = [
        () => other.lifecycle.destroy(id),
        () => holder.lifecycle.extend(id, { ttlSeconds: 60 }).then(() => false),
        () => holder.lifecycle.destroy(id, "Its time to live was over"),
        () => holder.lifecycle.destroy(id),
        () => other.lifecycle.destroy(id),
      ];
      const first = round % wishes.length;
      const order = [...wishes.slice(first), ...wishes.slice(0, first)];
      const outcomes = await Promise.allSettled(order.map((wish) => wish()));
      // What the holder's next reconciliation does with a row that was left as destroying.
      await holder.lifecycle.finishDestroy(id);

      const winners = outcomes.filter((each) => each.status === "fulfilled" && each.value);
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") continue;
        expect(outcome.reason).toBeInstanceOf(InsienError);
        expect(["sandbox_state", "conflict"]).toContain((outcome.reason as InsienError).code);
      }
      expect((await database.sandboxes.get(id))?.state).toBe("destroyed");
      expect(holder.live.get(id)).toBeUndefined();
      const events = await eventsOf(id);
      expect(events.filter((type) => type === "sandbox.destroying")).toHaveLength(1);
      expect(events.at(-1)).toBe("sandbox.destroyed");
      expect(events.filter((type) => type === "sandbox.destroyed")).toHaveLength(1);
    }
    expect(host.machines.size).toBe(0);
    expect(touched).not.toHaveBeenCalled();
  });

  test("what another node holds can be wished destroyed, and nothing else", async () => {
    const { id, machineId } = await holder.lifecycle.create(request);
    const before = await database.sandboxes.get(id);
    const refused = [
      other.lifecycle.extend(id, { ttlSeconds: 1 }),
      other.lifecycle.stop(id),
      other.lifecycle.start(id),
      other.lifecycle.fail(id, "a mistake"),
    ];
    for (const call of refused) {
      await expect(call).rejects.toMatchObject({ code: "agent_unreachable" });
    }
    expect(await database.sandboxes.get(id)).toEqual(before);
    expect(await other.lifecycle.destroy(id)).toBe(true);
    expect((await database.sandboxes.get(id))?.state).toBe("destroying");
    await other.lifecycle.finishDestroy(id);
    expect(machineId !== undefined && host.machines.has(machineId)).toBe(true);
    await holder.lifecycle.finishDestroy(id);
    expect(host.machines.size).toBe(0);
  });
});
