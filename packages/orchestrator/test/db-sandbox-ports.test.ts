import { InsienError, LIMITS, newId } from "@insien/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Database, type SandboxPortRecord, openDatabase } from "../src/db/index.ts";
import { endedPorts } from "../src/cleanup/ended-ports.ts";
import { DATABASES } from "./database.fixture.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

describe.each(DATABASES.filter(({ present }) => present))("ports on $kind", ({ prepare }) => {
  let database: Database;
  beforeAll(async () => {
    database = await openDatabase(await prepare());
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  const sandbox = async () => {
    const row = newSandboxRow();
    await database.sandboxes.insert(row, { type: "sandbox.created" });
    return row.id;
  };
  const port = (
    sandboxId: SandboxPortRecord["sandboxId"],
    over: Partial<SandboxPortRecord> = {},
  ): SandboxPortRecord => ({
    sandboxId,
    internal: 80,
    external: undefined,
    protocol: "http",
    subdomain: undefined,
    public: false,
    nodeId: "node",
    createdAt: new Date(),
    ...over,
  });
  const end = async (id: SandboxPortRecord["sandboxId"]) => {
    const row = await database.sandboxes.get(id);
    if (row === undefined) throw new Error("there is no such sandbox");
    await database.sandboxes.transition(row, { state: "destroyed" }, { type: "sandbox.destroyed" });
  };
  const refusal = async (records: SandboxPortRecord[]): Promise<InsienError> => {
    const thrown: unknown = await database.sandboxPorts
      .insert(records)
      .catch((error: unknown) => error);
    if (thrown instanceof InsienError) return thrown;
    throw new Error("it was not refused", { cause: thrown });
  };

  test("are read back as they were written, and written twice without harm", async () => {
    const id = await sandbox();
    const ports = [port(id, { external: 2000, subdomain: "a" }), port(id, { internal: 90 })];
    await database.sandboxPorts.insert(ports);
    await database.sandboxPorts.insert(ports);
    expect(await database.sandboxPorts.ofSandbox(id)).toEqual(ports);
    expect(await database.sandboxPorts.bySubdomain("a")).toEqual(ports[0]);
    expect(await database.sandboxPorts.setPublic(id, 90, true)).toMatchObject({ public: true });
    expect(await database.sandboxPorts.remove(id, 90)).toBe(true);
    expect(await database.sandboxPorts.remove(id, 90)).toBe(false);
    await database.sandboxPorts.removeAll(id);
    expect(await database.sandboxPorts.ofSandbox(id)).toEqual([]);
  });

  test("a name or an external port that is taken is named, and nothing is written", async () => {
    const [first, second] = [await sandbox(), await sandbox()];
    await database.sandboxPorts.insert([port(first, { external: 3000, subdomain: "shop" })]);
    const byName = await refusal([
      port(second, { internal: 1 }),
      port(second, { subdomain: "shop" }),
    ]);
    expect([byName.code, byName.message]).toEqual(["conflict", "The subdomain shop is taken"]);
    const byPort = await refusal([
      port(second, { internal: 1, external: 3001 }),
      port(second, { external: 3000 }),
    ]);
    expect([byPort.code, byPort.message]).toEqual([
      "conflict",
      "The external port 3000 of this host is taken",
    ]);
    expect(await database.sandboxPorts.ofSandbox(second)).toEqual([]);
    // Another host has ports of its own.
    await database.sandboxPorts.insert([port(second, { external: 3000, nodeId: "other" })]);
  });

  test("none comes to a sandbox that ends, also when it begins to end at that moment", async () => {
    for (const state of ["destroying", "destroyed", "failed"] as const) {
      const row = newSandboxRow({ state });
      await database.sandboxes.insert(row, { type: "sandbox.created" });
      const { code } = await refusal([port(row.id, { subdomain: `late-${state}` })]);
      expect(code).toBe("sandbox_state");
    }
    for (let time = 0; time < 20; time += 1) {
      const row = newSandboxRow();
      await database.sandboxes.insert(row, { type: "sandbox.created" });
      const adding = database.sandboxPorts
        .insert([port(row.id, { subdomain: `race-${row.id}` })])
        .catch((error: unknown) => expect(error).toMatchObject({ code: "sandbox_state" }));
      const ending = end(row.id).then(() => database.sandboxPorts.removeAll(row.id));
      await Promise.all([adding, ending]);
      expect(await database.sandboxPorts.ofSandbox(row.id)).toEqual([]);
    }
  });

  test("of sandboxes that have ended are counted and removed", async () => {
    await database.sandboxPorts.removeEnded();
    const [ended, alive] = [await sandbox(), await sandbox()];
    await database.sandboxPorts.insert([port(ended, { subdomain: "theirs", external: 3100 })]);
    await database.sandboxPorts.insert([port(alive, { internal: 81 })]);
    await end(ended);
    const cleanup = endedPorts(database.sandboxPorts);
    expect(await cleanup.find(new Date())).toMatchObject([{ kind: "record", id: "ports" }]);
    expect(await database.sandboxPorts.countEnded()).toBe(1);
    expect(await (await cleanup.find(new Date()))[0]?.remove()).toBe(true);
    expect(await database.sandboxPorts.ofSandbox(ended)).toEqual([]);
    expect(await database.sandboxPorts.ofSandbox(alive)).toHaveLength(1);
    expect(await cleanup.find(new Date())).toEqual([]);
  });

  test("an owner has so many names and numbers and no more, also of several sandboxes at once", async () => {
    const ownerId = newId();
    const owned = async () => {
      const row = newSandboxRow({ ownerId });
      await database.sandboxes.insert(row, { type: "sandbox.created" });
      return row.id;
    };
    const most = LIMITS.subdomainsPerOwner.value;
    const first = await owned();
    const names = Array.from({ length: most - 1 }, (_, at) =>
      port(first, { internal: at + 1, subdomain: `s${at}-${first}` }),
    );
    await database.sandboxPorts.insert(names);
    await database.sandboxPorts.insert(names);
    const others = await Promise.all([owned(), owned(), owned()]);
    const outcomes = await Promise.allSettled(
      others.map((id) => database.sandboxPorts.insert([port(id, { subdomain: `o-${id}` })])),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    const refused = { code: "limit_reached", message: expect.stringContaining("100 subdomains") };
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({ reason: refused });
    const numbers = Array.from({ length: LIMITS.externalPortsPerOwner.value + 1 }, (_, at) =>
      port(first, { internal: 1000 + at, external: 40_000 + at, nodeId: ownerId }),
    );
    const { message } = await refusal(numbers);
    expect(message).toBe("Your sandboxes have 100 external ports, as many as one owner may have");
    await database.sandboxPorts.insert([port(first, { internal: 2000 })]);
  });
});
