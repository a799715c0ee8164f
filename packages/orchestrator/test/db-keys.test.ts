import { pino } from "pino";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { ApiKeys } from "../src/app/keys.ts";
import type { Principal } from "../src/app/principal.ts";
import type { Database } from "../src/db/index.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";

const administrator: Principal = { keyId: "bootstrap", ownerId: "admin", admin: true };
const log = pino({ enabled: false });

describe.for(DATABASES.filter(({ present }) => present))(
  "keys in the $kind database",
  ({ prepare }) => {
    let database: Database;
    let keys: ApiKeys;
    beforeAll(async () => {
      database = await openForTests(await prepare());
      keys = new ApiKeys(database.apiKeys, { nodeId: "one", log });
    });

    test("a new key lets its owner in, and its text is stored nowhere", async () => {
      const { key, id, ownerId, prefix } = await keys.create(administrator, { name: "a program" });
      expect(key).toMatch(/^insien_[\w-]{43}$/);
      expect(key.startsWith(prefix)).toBe(true);
      expect(await keys.authenticate(key)).toEqual({ keyId: id, ownerId, admin: false });
      expect(JSON.stringify(await database.apiKeys.get(id))).not.toContain(key.slice(20));
    });

    test.for(["", "insien_", "nonsense", "x".repeat(10_000), "insien_ü\u0000"])(
      "%j lets nobody in",
      async (key) => {
        expect(await keys.authenticate(key)).toBeUndefined();
      },
    );

    test("a revoked key is refused at once", async () => {
      const { key, id } = await keys.create(administrator, { name: "to be revoked" });
      expect(await keys.authenticate(key)).toBeDefined();
      expect(await keys.revoke(administrator, id)).toBe(true);
      expect(await keys.authenticate(key)).toBeUndefined();
      expect(await keys.revoke(administrator, id)).toBe(false);
    });

    test("a key that is revoked while it is looked up is not remembered", async () => {
      const { key, id } = await keys.create(administrator, { name: "raced" });
      await Promise.all([
        keys.authenticate(key),
        keys.revoke(administrator, id),
        keys.authenticate(key),
      ]);
      expect(await keys.authenticate(key)).toBeUndefined();
    });

    test("a known key costs no question to the database, an unknown one is remembered too", async () => {
      const question = vi.spyOn(database.apiKeys, "byHash");
      const { key } = await keys.create(administrator, { name: "busy" });
      for (let count = 0; count < 50; count += 1) {
        await keys.authenticate(key);
        await keys.authenticate("a-key-nobody-has");
      }
      expect(question).toHaveBeenCalledTimes(2);
      question.mockRestore();
    });

    test("owners see and revoke their own keys only; administrators all", async () => {
      const mine = await keys.create(administrator, { name: "mine" });
      const theirs = await keys.create(administrator, { name: "theirs" });
      const me: Principal = { keyId: mine.id, ownerId: mine.ownerId, admin: false };
      expect((await keys.list(me)).map(({ id }) => id)).toEqual([mine.id]);
      const all = (await keys.list(administrator)).map(({ id }) => id);
      expect(all).toEqual(expect.arrayContaining([mine.id, theirs.id]));
      expect(await keys.revoke(me, theirs.id)).toBe(false);
      expect(await keys.authenticate(theirs.key)).toBeDefined();
      await expect(keys.create(me, { name: "more" })).rejects.toMatchObject({ code: "forbidden" });
    });

    test("the bootstrap key follows the configuration, and cannot be revoked by a request", async () => {
      await keys.bootstrap("first-key-of-the-configuration");
      const first = await keys.authenticate("first-key-of-the-configuration");
      expect(first).toMatchObject({ ownerId: "admin", admin: true });
      await keys.bootstrap("second-key-of-the-configuration");
      expect(await keys.authenticate("first-key-of-the-configuration")).toBeUndefined();
      expect(await keys.authenticate("second-key-of-the-configuration")).toEqual(first);
      await expect(keys.revoke(administrator, first?.keyId ?? "")).rejects.toMatchObject({
        code: "forbidden",
      });
    });

    test.for([
      { what: "the same key", ofOther: "key-of-node-one" },
      { what: "another key", ofOther: "key-of-node-two" },
    ])("two nodes with $what leave each other's alone", async ({ ofOther }) => {
      await using one = new ApiKeys(database.apiKeys, { nodeId: `one ${ofOther}`, log });
      await using other = new ApiKeys(database.apiKeys, { nodeId: `other ${ofOther}`, log });
      await one.bootstrap("key-of-node-one");
      await other.bootstrap(ofOther);
      for (const node of [one, other]) {
        expect(await node.authenticate("key-of-node-one")).toMatchObject({ ownerId: "admin" });
        expect(await node.authenticate(ofOther)).toMatchObject({ ownerId: "admin" });
      }
      await one.bootstrap(`new ${ofOther}`);
      await using third = new ApiKeys(database.apiKeys, { nodeId: "third", log });
      const left = await third.authenticate(ofOther);
      expect(left).toMatchObject({ ownerId: "admin", admin: true });
      // A node that is gone for good leaves a key, which any other may revoke.
      expect(await third.revoke(administrator, left?.keyId ?? "")).toBe(true);
      expect(await third.authenticate(ofOther)).toBeUndefined();
    });

    test("the last use is written at the end, and seen before", async () => {
      const own = new ApiKeys(database.apiKeys, { nodeId: "one", log });
      const { key, id } = await own.create(administrator, { name: "used" });
      await own.authenticate(key);
      expect(
        (await own.list(administrator)).find((each) => each.id === id)?.lastUsedAt,
      ).toBeDefined();
      expect((await database.apiKeys.get(id))?.lastUsedAt).toBeUndefined();
      await own[Symbol.asyncDispose]();
      expect((await database.apiKeys.get(id))?.lastUsedAt).toBeDefined();
    });
  },
);
