import { newId, newMachineId, newSandboxId, type SandboxId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { beforeAll, describe, expect, test } from "vitest";
import type { Database, DatabaseOptions } from "../src/db/index.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const created = { type: "created" };
const seconds = (count: number) => new Date(Date.now() + count * 1000);

describe.for(DATABASES.filter(({ present }) => present))(
  "the $kind database",
  ({ kind, prepare }) => {
    let options: DatabaseOptions;
    let database: Database;
    beforeAll(async () => {
      options = await prepare();
      database = await openForTests(options);
    });

    describe("a sandbox", () => {
      test("is read back as it was written", async () => {
        const sandbox = newSandboxRow({
          name: 'it\'s "quoted" and ünïcode',
          image: "debian:bookworm-slim",
          metadata: { "a key": "a value", empty: "" },
          environment: { PATH: "/bin", JSON: '{"a":1}' },
          machineId: newMachineId(),
          startedAt: new Date("2026-01-02T03:04:05.678Z"),
          expiresAt: new Date("2030-12-31T23:59:59.999Z"),
          idleTimeoutSeconds: 60,
        });
        const record = await database.sandboxes.insert(sandbox, created);
        expect(record.version).toBe(1);
        expect(await database.sandboxes.get(sandbox.id)).toEqual(record);
      });

      test("has commands as text and as lists, which nothing takes for something else", async () => {
        const lines = ["{1,2}", '"quoted"', "true", ["a b", '{"x":1}', ""], ["one"], undefined];
        for (const entrypoint of lines) {
          for (const command of lines) {
            const row = newSandboxRow({ entrypoint, command });
            const record = await database.sandboxes.insert(row, created);
            expect(await database.sandboxes.get(row.id)).toEqual(record);
          }
        }
      });

      test("keeps its settings through other changes, and is told anew by those that name them", async () => {
        const fresh = newSandboxRow({ environment: { A: "1" }, command: "one" });
        const record = await database.sandboxes.insert(fresh, created);
        const stale = { ...record, environment: { A: "never written" } };
        const moved = await database.sandboxes.transition(stale, { state: "running" }, created);
        expect((await database.sandboxes.get(fresh.id))?.environment).toEqual({ A: "1" });
        if (moved === undefined) throw new Error("it was not moved");
        const at = new Date();
        const changes = {
          ...{ environment: { B: "2" }, environmentChangedAt: at },
          ...{ command: ["two"], entrypoint: undefined },
        };
        const configured = await database.sandboxes.transition(moved, changes, created);
        expect(configured).toMatchObject({ ...changes, state: "running" });
        expect(await database.sandboxes.get(fresh.id)).toEqual(configured);
        expect(await database.sandboxes.transition(moved, changes, created)).toBeUndefined();
      });

      test("takes what its main command does without becoming another version", async () => {
        const rows = [newSandboxRow(), newSandboxRow()];
        for (const row of rows) await database.sandboxes.insert(row, created);
        const status = (state: "running" | "failed") => ({
          ...{ state, restarts: 2, max_retries: 3, exit_code: 7 },
          changed_at: new Date().toISOString(),
        });
        const [one, two] = rows.map(({ id }) => id) as [SandboxId, SandboxId];
        const said = new Map([
          [one, status("running")],
          [two, status("failed")],
          [newSandboxId(), status("failed")],
        ]);
        expect((await database.sandboxes.noteMain(said)).toSorted()).toEqual([one, two].toSorted());
        for (const id of [one, two]) {
          expect(await database.sandboxes.get(id)).toMatchObject({
            main: said.get(id),
            version: 1,
          });
        }
        expect(await database.sandboxes.noteMain(new Map())).toEqual([]);
      });

      test("that does not exist is undefined", async () => {
        expect(await database.sandboxes.get(newSandboxId())).toBeUndefined();
      });

      test("comes with its first event, or not at all", async () => {
        const sandbox = newSandboxRow();
        await database.sandboxes.insert(sandbox, { type: "created", data: { warm: true } });
        await expect(database.sandboxes.insert(sandbox, created)).rejects.toThrow();
        const events = await database.events.list(sandbox.id);
        expect(events).toMatchObject([
          { type: "created", data: { warm: true }, sandboxId: sandbox.id },
        ]);
      });

      test("takes one machine, and a machine one sandbox", async () => {
        const machineId = newMachineId();
        await database.sandboxes.insert(newSandboxRow({ machineId }), created);
        await expect(
          database.sandboxes.insert(newSandboxRow({ machineId }), created),
        ).rejects.toThrow();
      });
    });

    describe("a transition", () => {
      test("changes what it names, clears what it names as undefined, and appends its event", async () => {
        const first = await database.sandboxes.insert(
          newSandboxRow({ stateReason: "at first", name: "kept" }),
          created,
        );
        const changes = {
          state: "running" as const,
          stateReason: undefined,
          startedAt: new Date(),
        };
        const second = await database.sandboxes.transition(first, changes, {
          type: "running",
          data: { by: "test" },
        });
        expect(second).toEqual({ ...first, ...changes, version: 2 });
        expect(await database.sandboxes.get(first.id)).toEqual(second);
        expect((await database.events.list(first.id)).map((event) => event.type)).toEqual([
          "created",
          "running",
        ]);
      });

      test("loses to one that came first, and then leaves no event", async () => {
        const seen = await database.sandboxes.insert(newSandboxRow(), created);
        const rivals = await Promise.all(
          Array.from({ length: 10 }, (_, number) =>
            database.sandboxes.transition(
              seen,
              { stateReason: `rival ${number}` },
              { type: "won" },
            ),
          ),
        );
        expect(rivals.filter((record) => record !== undefined)).toHaveLength(1);
        expect((await database.events.list(seen.id)).map((event) => event.type)).toEqual([
          "created",
          "won",
        ]);
      });

      test("leaves activity alone that was noted since it was read", async () => {
        const seen = await database.sandboxes.insert(newSandboxRow(), created);
        const active = seconds(60);
        await database.sandboxes.touch(new Map([[seen.id, active]]));
        await database.sandboxes.transition(seen, { state: "running" }, { type: "running" });
        expect((await database.sandboxes.get(seen.id))?.lastActivityAt).toEqual(active);
      });
    });

    test("activity of many is noted at once, and never goes back", async () => {
      const records = await Promise.all(
        Array.from({ length: 5 }, () => database.sandboxes.insert(newSandboxRow(), created)),
      );
      const later = seconds(30);
      await database.sandboxes.touch(new Map(records.map(({ id }) => [id, later])));
      await database.sandboxes.touch(new Map(records.map(({ id }) => [id, seconds(-30)])));
      await database.sandboxes.touch(new Map());
      for (const { id, version } of records) {
        expect(await database.sandboxes.get(id)).toMatchObject({ lastActivityAt: later, version });
      }
    });

    describe("the list", () => {
      test("pages through all of an owner's, newest first, also when many are equally old", async () => {
        const ownerId = newId();
        const instants = [
          new Date(1000),
          new Date(2000),
          new Date(2000),
          new Date(2000),
          new Date(3000),
        ];
        const records = await Promise.all(
          instants.map((createdAt) =>
            database.sandboxes.insert(newSandboxRow({ ownerId, createdAt }), created),
          ),
        );
        await database.sandboxes.insert(newSandboxRow({ ownerId: newId() }), created);
        const seen: string[] = [];
        let cursor: string | undefined;
        do {
          const page = await database.sandboxes.list(ownerId, {
            limit: 2,
            ...(cursor && { cursor }),
          });
          seen.push(...page.items.map((item) => item.id));
          cursor = page.nextCursor;
        } while (cursor !== undefined);
        const expected = records.toSorted(
          (one, other) =>
            other.createdAt.getTime() - one.createdAt.getTime() || (one.id < other.id ? 1 : -1),
        );
        expect(seen).toEqual(expected.map((record) => record.id));
      });

      test("shows destroyed ones only to who asks for them", async () => {
        const ownerId = newId();
        const gone = await database.sandboxes.insert(
          newSandboxRow({ ownerId, state: "destroyed" }),
          created,
        );
        const here = await database.sandboxes.insert(
          newSandboxRow({ ownerId, state: "running" }),
          created,
        );
        expect((await database.sandboxes.list(ownerId, {})).items.map(({ id }) => id)).toEqual([
          here.id,
        ]);
        const destroyed = await database.sandboxes.list(ownerId, { state: "destroyed" });
        expect(destroyed.items.map(({ id }) => id)).toEqual([gone.id]);
      });

      test("refuses a cursor that is not its own", async () => {
        const ownerId = newId();
        for (const _ of [1, 2])
          await database.sandboxes.insert(newSandboxRow({ ownerId }), created);
        const { nextCursor = "" } = await database.sandboxes.list(ownerId, { limit: 1 });
        const changed = `${nextCursor.slice(0, 12)}${nextCursor[12] === "A" ? "B" : "A"}${nextCursor.slice(13)}`;
        for (const cursor of [changed, "", "nonsense", "../../etc"]) {
          const answer = database.sandboxes.list(ownerId, { cursor });
          await expect(answer, cursor).rejects.toMatchObject({ code: "invalid_request" });
        }
        const stranger = database.sandboxes.list(newId(), { cursor: nextCursor });
        await expect(stranger).rejects.toMatchObject({ code: "invalid_request" });
      });
    });

    test("what is due: expired or idle, the longest due first, and of one node when asked", async () => {
      const nodeId = newId();
      const insert = async (over: Parameters<typeof newSandboxRow>[0]): Promise<SandboxId> =>
        (await database.sandboxes.insert(newSandboxRow({ nodeId, ...over }), created)).id;
      const expired = await insert({ state: "stopped", expiresAt: seconds(-10) });
      const longExpired = await insert({ state: "running", expiresAt: seconds(-100) });
      const idle = await insert({
        state: "running",
        idleTimeoutSeconds: 5,
        lastActivityAt: seconds(-50),
      });
      await insert({ state: "running", expiresAt: seconds(10), idleTimeoutSeconds: 60 });
      await insert({ state: "running", lastActivityAt: seconds(-1e6) });
      await insert({ state: "stopped", idleTimeoutSeconds: 5, lastActivityAt: seconds(-50) });
      await insert({ state: "destroying", expiresAt: seconds(-10) });
      await insert({ state: "destroyed", expiresAt: seconds(-10) });
      await insert({ nodeId: newId(), state: "running", expiresAt: seconds(-10) });
      const due = await database.sandboxes.due(new Date(), 100, { nodeId });
      expect(due.map(({ id, cause }) => [id, cause])).toEqual([
        [longExpired, "expired"],
        [idle, "idle"],
        [expired, "expired"],
      ]);
      expect(await database.sandboxes.due(new Date(), 1, { nodeId })).toHaveLength(1);
      expect((await database.sandboxes.due(new Date(), 100)).length).toBeGreaterThan(3);
    });

    test("sandboxes are found by their machines and by their node", async () => {
      const nodeId = newId();
      const machineIds = [newMachineId(), newMachineId(), newMachineId()];
      for (const machineId of machineIds)
        await database.sandboxes.insert(newSandboxRow({ nodeId, machineId }), created);
      await database.sandboxes.insert(newSandboxRow({ nodeId, state: "destroyed" }), created);
      const found = await database.sandboxes.byMachines([...machineIds.slice(1), newMachineId()]);
      expect(new Set(found.map(({ machineId }) => machineId))).toEqual(
        new Set(machineIds.slice(1)),
      );
      expect(await database.sandboxes.ofNode(nodeId)).toHaveLength(3);
      expect(await database.sandboxes.byMachines([])).toEqual([]);
    });

    test("what ended long ago is forgotten with its events, and nothing else", async () => {
      const old = await database.sandboxes.insert(
        newSandboxRow({ state: "destroyed", endedAt: new Date(1000) }),
        created,
      );
      const recent = await database.sandboxes.insert(
        newSandboxRow({ state: "destroyed", endedAt: new Date() }),
        created,
      );
      const failed = await database.sandboxes.insert(
        newSandboxRow({ state: "failed", endedAt: new Date(1000) }),
        created,
      );
      const stopped = await database.sandboxes.insert(newSandboxRow({ state: "stopped" }), created);
      expect(await database.sandboxes.purge(new Date(2000))).toBe(2);
      expect(await database.sandboxes.get(old.id)).toBeUndefined();
      expect(await database.events.list(old.id)).toEqual([]);
      expect(await database.sandboxes.get(recent.id)).toBeDefined();
      expect(await database.sandboxes.get(failed.id)).toBeUndefined();
      expect(await database.sandboxes.get(stopped.id)).toBeDefined();
    });

    test("events are read in order, from any point on", async () => {
      const { id } = await database.sandboxes.insert(newSandboxRow(), created);
      await database.events.append(id, { type: "one" });
      await database.events.appendAll([
        {
          sandboxId: id,
          type: "two",
          data: { text: 'with "quotes" and, commas {}' },
          at: new Date(5000),
        },
        { sandboxId: newSandboxId(), type: "of nobody" },
        { sandboxId: id, type: "three" },
      ]);
      const events = await database.events.list(id);
      expect(events.map((event) => event.type)).toEqual(["created", "one", "two", "three"]);
      expect(events[2]).toMatchObject({
        data: { text: 'with "quotes" and, commas {}' },
        at: new Date(5000),
      });
      const rest = await database.events.list(id, { after: events[1]?.sequence ?? 0, limit: 1 });
      expect(rest.map((event) => event.type)).toEqual(["two"]);
    });

    test("nodes beat their hearts, by the database's clock, and go", async () => {
      const node = { id: newId(), url: "http://one", startedAt: new Date(1000) };
      await database.nodes.heartbeat(node);
      const first = await database.nodes.get(node.id);
      expect(first).toMatchObject(node);
      expect(first?.silentMs).toBeLessThan(5_000);
      await waitFor(async () => ((await database.nodes.get(node.id))?.silentMs ?? 0) > 50);
      await database.nodes.heartbeat({ ...node, url: "http://two" });
      const second = await database.nodes.get(node.id);
      expect(second?.url).toBe("http://two");
      expect(second?.heartbeatAt.getTime()).toBeGreaterThan(first?.heartbeatAt.getTime() ?? 0);
      expect(await database.nodes.remove(node.id)).toBe(true);
      expect(await database.nodes.remove(node.id)).toBe(false);
      expect(await database.nodes.get(node.id)).toBeUndefined();
    });

    test("the installation is made once, whoever asks first", async () => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => database.installation.get()),
      );
      expect(new Set(answers.map((answer) => answer.ownerLabel)).size).toBe(1);
    });

    test("opening it again finds what was there", async () => {
      const { id } = await database.sandboxes.insert(newSandboxRow(), created);
      const { ownerLabel } = await database.installation.get();
      if (kind === "embedded") await database[Symbol.asyncDispose]();
      database = await openForTests(options);
      expect(await database.sandboxes.get(id)).toBeDefined();
      expect((await database.installation.get()).ownerLabel).toBe(ownerLabel);
    });
  },
);
