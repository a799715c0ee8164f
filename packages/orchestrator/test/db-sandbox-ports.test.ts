import { InsienError } from "@insien/protocol";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Database, type SandboxPortRecord, openDatabase } from "../src/db/index.ts";
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
});
