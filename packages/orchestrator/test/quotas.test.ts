/**
 * Goal: an owner gets exactly what the quotas say, however many ask at once and of whichever node,
 * and is told which quota it was.
 */
import { type InsienError, newId } from "@insien/protocol";
import { FakeHost } from "@insien/runtime/fake";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { CreateRequest } from "../src/app/create-request.ts";
import type { Principal } from "../src/app/principal.ts";
import type { Database } from "../src/db/index.ts";
import { newCreateRequest } from "./create-request.fixture.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { TestNode } from "./test-node.fixture.ts";

const ADMIN: Principal = { keyId: "admin", ownerId: "admin", admin: true };
const GiB = 1024 ** 3;
const present = DATABASES.filter((database) => database.present);

describe.for(present)("quotas on the $kind database", ({ kind, prepare }) => {
  const nodes: TestNode[] = [];
  let databases: Database[];
  let ownerId: string;
  beforeAll(async () => {
    const options = await prepare();
    // The embedded database is open in one process at a time, so there is one node on it.
    databases = [await openForTests(options)];
    if (kind === "postgresql") databases.push(await openForTests(options));
  });
  afterEach(async () => {
    for (const node of nodes.splice(0)) await node[Symbol.asyncDispose]();
  });

  /** As many nodes as the database can have, and an owner that nobody knows yet. */
  async function start(): Promise<[TestNode, ...TestNode[]]> {
    ownerId = newId();
    const host = new FakeHost();
    for (const [index, database] of databases.entries())
      nodes.push(await TestNode.start(`node${index}`, database, { host }));
    const [first, ...rest] = nodes;
    if (first === undefined) throw new Error("there is no database");
    return [first, ...rest];
  }
  const create = (node: TestNode, over: Partial<CreateRequest> = {}) =>
    node.lifecycle.create(newCreateRequest({ ownerId, ...over }));
  const standing = (node: TestNode) => node.quotas.own({ keyId: "key", ownerId, admin: false });

  test("of fifty that ask at once, on every node, exactly ten are made", async () => {
    const [node] = await start();
    await node.quotas.set(ADMIN, ownerId, { sandboxes: 10 });
    const asked = Array.from({ length: 50 }, (_, index) =>
      create(nodes[index % nodes.length] ?? node),
    );
    const outcomes = await Promise.allSettled(asked);
    const made = outcomes.filter(({ status }) => status === "fulfilled");
    expect(made).toHaveLength(10);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected")
        expect(outcome.reason).toMatchObject({
          code: "quota_exceeded",
          details: { quota: "sandboxes", limit: 10, used: 10 },
        });
    }
    expect((await standing(node)).used).toMatchObject({ sandboxes: 10, cpu: 10 });
    expect(node.runtime.host.machines.size).toBe(10);
  });

  test("the last place is one's, each time that several ask for it together", async () => {
    const [node] = await start();
    for (let round = 0; round < 15; round += 1) {
      ownerId = newId();
      await node.quotas.set(ADMIN, ownerId, { sandboxes: 1 });
      const asked = Array.from({ length: 4 }, (_, index) =>
        create(nodes[index % nodes.length] ?? node),
      );
      const outcomes = await Promise.allSettled(asked);
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    }
  });

  test("cores and memory count until a sandbox is stopped, and again when it starts", async () => {
    const [node] = await start();
    await node.quotas.set(ADMIN, ownerId, { cpu: 2, memory: 3 * GiB });
    const limits = { cpu: 1, memoryBytes: GiB, pids: 64 };
    const first = await create(node, { limits });
    await create(node, { limits });
    await expect(create(node, { limits })).rejects.toMatchObject({
      code: "quota_exceeded",
      details: { quota: "cpu", limit: 2, used: 2 },
    });
    await node.lifecycle.stop(first.id);
    await create(node, { limits });
    await expect(node.lifecycle.start(first.id)).rejects.toMatchObject({
      details: { quota: "cpu" },
    });
    expect((await databases[0]?.sandboxes.get(first.id))?.state).toBe("stopped");
    const big = { cpu: 0.1, memoryBytes: 2 * GiB, pids: 64 };
    await node.quotas.set(ADMIN, ownerId, { memory: 3 * GiB });
    await expect(create(node, { limits: big })).rejects.toMatchObject({
      details: { quota: "memory", limit: 3 * GiB, used: 2 * GiB },
    });
    expect((await node.lifecycle.start(first.id)).state).toBe("running");
  });

  test("creates per minute are refused with the seconds to wait, also of those destroyed since", async () => {
    const [node] = await start();
    await node.quotas.set(ADMIN, ownerId, { creates_per_minute: 2 });
    for (const _ of [1, 2]) await node.lifecycle.destroy((await create(node)).id);
    const error = await create(node).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "rate_limited",
      details: { quota: "creates_per_minute", limit: 2, used: 2 },
    });
    const seconds = Number((error as InsienError).details?.["retryAfterSeconds"]);
    expect(seconds).toBeGreaterThan(30);
    expect(seconds).toBeLessThanOrEqual(60);
  });

  test("files that were measured at the limit let nothing new be made or started", async () => {
    const [node] = await start();
    const database = databases[0];
    await node.quotas.set(ADMIN, ownerId, { disk: GiB });
    const principal = { keyId: "key", ownerId, admin: false };
    const volume = await node.volumes.create(principal, { name: "big" });
    const sandbox = await create(node);
    await node.lifecycle.stop(sandbox.id);
    await database?.usage.setVolumeSizes(new Map([[volume.id, GiB]]));
    const refused = { code: "quota_exceeded", details: { quota: "disk", limit: GiB, used: GiB } };
    await expect(create(node)).rejects.toMatchObject(refused);
    await expect(node.lifecycle.start(sandbox.id)).rejects.toMatchObject(refused);
    await expect(node.volumes.create(principal, { name: "more" })).rejects.toMatchObject(refused);
    await node.volumes.delete(principal, "big");
    expect((await node.lifecycle.start(sandbox.id)).state).toBe("running");
    await expect(
      node.volumes.create(principal, { name: "more", size: "2g" }),
    ).rejects.toMatchObject({ details: { quota: "disk" } });
  });

  test("a create that is sent again at the limit is the sandbox that there is", async () => {
    const [node] = await start();
    await node.quotas.set(ADMIN, ownerId, { sandboxes: 1 });
    const first = await create(node);
    const again = await create(nodes.at(-1) ?? node, { id: first.id });
    expect(again.id).toBe(first.id);
  });

  test("what an administrator sets stands above the defaults, until it is cleared", async () => {
    ownerId = newId();
    const [database] = databases;
    if (database === undefined) throw new Error("there is no database");
    const node = await TestNode.start("defaults", database, { defaults: { sandboxes: 1, cpu: 4 } });
    nodes.push(node);
    await create(node);
    await expect(create(node)).rejects.toMatchObject({ details: { quota: "sandboxes", limit: 1 } });
    const set = await node.quotas.set(ADMIN, ownerId, { sandboxes: null });
    expect(set.bounds).toEqual({ cpu: 4 });
    await create(node);
    expect(await node.quotas.clear(ADMIN, ownerId)).toBe(true);
    expect(await node.quotas.clear(ADMIN, ownerId)).toBe(false);
    await expect(create(node)).rejects.toMatchObject({ details: { quota: "sandboxes", used: 2 } });
  });

  test("only an administrator sees and sets the quotas of owners", async () => {
    const [node] = await start();
    const user = { keyId: "key", ownerId, admin: false };
    const forbidden = { code: "forbidden" };
    await expect(node.quotas.get(user, ownerId)).rejects.toMatchObject(forbidden);
    await expect(node.quotas.set(user, ownerId, {})).rejects.toMatchObject(forbidden);
    await expect(node.quotas.clear(user, ownerId)).rejects.toMatchObject(forbidden);
  });

  test("an owner without bounds is not counted, and one whose quotas are known not looked up", async () => {
    const [node] = await start();
    const [database] = databases;
    if (database === undefined) throw new Error("there is no database");
    const counted = vi.spyOn(database.quotas, "usage");
    const looked = vi.spyOn(database.quotas, "get");
    for (const _ of [1, 2, 3]) await create(node);
    expect(counted).not.toHaveBeenCalled();
    expect(looked).toHaveBeenCalledTimes(1);
    vi.restoreAllMocks();
  });
});
