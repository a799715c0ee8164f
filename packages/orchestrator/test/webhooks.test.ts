/**
 * Goal: every event of an owner's sandboxes reaches that owner's webhooks, once each, and nobody
 * else's; a receiver that fails is tried again, and one that is gone is left alone.
 */
import { newId, type SandboxId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { OwnedWebhooks } from "../src/app/webhooks.ts";
import { namesInside } from "../src/webhooks/public-address.ts";
import type { Database, DatabaseOptions } from "../src/db/index.ts";
import { type DelivererTimings, WebhookDeliverer } from "../src/webhooks/webhook-deliverer.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";
import { expectedSignature, WebhookReceiver } from "./webhook-receiver.ts";

const created = { type: "sandbox.created", data: { warm: true } };
const QUICK = { pollMs: 20, retryMs: 20, attemptMs: 2_000 };

describe.for(DATABASES.filter(({ present }) => present))(
  "webhooks on the $kind database",
  ({ prepare }) => {
    let options: DatabaseOptions;
    let database: Database;
    let webhooks: OwnedWebhooks;
    let resources: AsyncDisposableStack;
    beforeAll(async () => {
      options = await prepare();
      database = await openForTests(options);
      webhooks = new OwnedWebhooks(database.webhooks, database.webhookDeliveries, () => false);
      resources = new AsyncDisposableStack();
    });
    afterEach(async () => {
      await resources.disposeAsync();
      resources = new AsyncDisposableStack();
    });

    const receiver = async () => resources.use(await WebhookReceiver.start());
    const deliver = (timings: Partial<DelivererTimings> = {}, allowPrivate = true) => {
      const deliverer = new WebhookDeliverer({
        queue: database.webhookQueue,
        allowPrivate,
        log: pino({ level: "silent" }),
        timings: { ...QUICK, ...timings },
      });
      resources.use(deliverer).start();
      return deliverer;
    };
    const newOwner = () => ({ keyId: newId(), ownerId: newId(), admin: false });
    const newSandbox = async (ownerId: string): Promise<SandboxId> =>
      (await database.sandboxes.insert(newSandboxRow({ ownerId }), created)).id;
    const log = async (owner: ReturnType<typeof newOwner>, id: string) =>
      (await webhooks.deliveries(owner, id, {})).items;

    test("no more tests wait to be sent than may", async () => {
      const { id } = await webhooks.create(newOwner(), { url: "https://example.com/" });
      const insert = () => {
        const event = { type: "webhook.test", at: new Date().toISOString(), data: {} };
        const delivery = { id: newId(), event, createdAt: new Date() };
        return database.webhookDeliveries.insert(id, delivery, 2);
      };
      expect(await insert()).toMatchObject({ state: "pending" });
      expect(await insert()).toMatchObject({ state: "pending" });
      expect(await insert()).toBeUndefined();
      const { items } = await database.webhookDeliveries.list(id, {});
      expect(items).toHaveLength(2);
    });

    test("an event is sent to its owner's webhooks that want it, signed, and to no one else's", async () => {
      const [mine, narrow, strangers] = [await receiver(), await receiver(), await receiver()];
      const [owner, stranger] = [newOwner(), newOwner()];
      const before = await newSandbox(owner.ownerId);
      const { id, secret } = await webhooks.create(owner, { url: mine.url });
      await webhooks.create(owner, { url: narrow.url, events: ["command.*", "port.opened"] });
      await webhooks.create(stranger, { url: strangers.url });
      deliver();
      const sandboxId = await newSandbox(owner.ownerId);
      await database.events.append(sandboxId, { type: "command.started", data: { cmd: "true" } });
      await waitFor(() => mine.received.length === 2 && narrow.received.length === 1);

      expect(mine.types).toEqual(expect.arrayContaining(["sandbox.created", "command.started"]));
      expect(narrow.types).toEqual(["command.started"]);
      expect(strangers.received).toEqual([]);
      expect(mine.received.map(({ message }) => message.sandbox_id)).not.toContain(before);
      for (const webhook of mine.received) {
        expect(webhook.message.sandbox_id).toBe(sandboxId);
        expect(webhook.headers["webhook-signature"]).toBe(expectedSignature(secret, webhook));
        const age = Date.now() / 1000 - Number(webhook.headers["webhook-timestamp"]);
        expect(age).toBeLessThan(30);
      }
      const deliveries = await waitFor(async () => {
        const items = await log(owner, id);
        return items.every(({ state }) => state === "delivered") ? items : undefined;
      });
      expect(deliveries).toHaveLength(2);
      expect(deliveries[0]).toMatchObject({ attempts: 1, responseStatus: 200, error: undefined });
      const ids = new Set(deliveries.map((delivery) => delivery.id));
      expect(new Set(mine.received.map(({ headers }) => headers["webhook-id"]))).toEqual(ids);
    });

    test("several processes send each event once", async () => {
      const target = await receiver();
      const owner = newOwner();
      await webhooks.create(owner, { url: target.url });
      for (let count = 0; count < 4; count += 1) deliver();
      const sandboxId = await newSandbox(owner.ownerId);
      for (let batch = 0; batch < 10; batch += 1) {
        await database.events.appendAll(
          Array.from({ length: 30 }, () => ({ sandboxId, type: "command.ended" })),
        );
      }
      await waitFor(() => target.received.length >= 301, { timeoutMs: 15_000 });
      const sequences = target.received.map(({ message }) => message.sequence);
      expect(new Set(sequences).size).toBe(301);
      expect(sequences).toHaveLength(301);
    });

    test("a failed attempt is made again, later and later, under the same id", async () => {
      const target = await receiver();
      const owner = newOwner();
      const { id } = await webhooks.create(owner, { url: target.url });
      target.answer = (response) => {
        response.statusCode = target.received.length < 3 ? 500 : 204;
        response.end();
      };
      deliver();
      await newSandbox(owner.ownerId);
      const [delivery] = await waitFor(async () => {
        const items = await log(owner, id);
        return items[0]?.state === "delivered" ? items : undefined;
      });
      expect(delivery).toMatchObject({ attempts: 3, responseStatus: 204, error: undefined });
      expect(new Set(target.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    });

    test("a webhook whose deliveries keep failing is switched off, and can be switched on", async () => {
      const target = await receiver();
      const owner = newOwner();
      const { id } = await webhooks.create(owner, { url: target.url });
      target.answer = (response) => {
        response.statusCode = 503;
        response.end();
      };
      deliver({ retryMs: 0 });
      const sandboxId = await newSandbox(owner.ownerId);
      await database.events.appendAll(
        Array.from({ length: 9 }, () => ({ sandboxId, type: "command.ended" })),
      );
      const off = await waitFor(async () => {
        const webhook = await webhooks.get(owner, id);
        return webhook.active ? undefined : webhook;
      });
      expect(off.inactiveReason).toBe("5 deliveries in a row failed for good");
      const failed = await log(owner, id);
      expect(failed.every(({ state }) => state === "failed")).toBe(true);
      expect(failed.some(({ error }) => error === "The answer was 503")).toBe(true);
      await expect(webhooks.test(owner, id)).rejects.toMatchObject({ code: "conflict" });

      await database.events.append(sandboxId, { type: "command.missed" });
      target.answer = (response) => void response.end();
      expect(await webhooks.change(owner, id, { active: true })).toMatchObject({
        active: true,
        inactiveReason: undefined,
      });
      await database.events.append(sandboxId, { type: "command.heard" });
      await waitFor(() => target.types.includes("command.heard"));
      expect(target.types).not.toContain("command.missed");

      const [oldest] = failed.toReversed();
      const again = await webhooks.replay(owner, id, oldest?.id ?? "");
      expect(again.state).toBe("pending");
      await waitFor(async () =>
        (await log(owner, id)).some(
          ({ id: each, state }) => each === oldest?.id && state === "delivered",
        ),
      );
    });

    test("410 Gone switches it off at once, a redirect is not followed, silence is waited for", async () => {
      const [gone, moved, silent, elsewhere] = [
        await receiver(),
        await receiver(),
        await receiver(),
        await receiver(),
      ];
      gone.answer = (response) => void response.writeHead(410).end();
      moved.answer = (response) => void response.writeHead(302, { location: elsewhere.url }).end();
      silent.answer = () => undefined;
      const owner = newOwner();
      const ofGone = await webhooks.create(owner, { url: gone.url });
      const ofMoved = await webhooks.create(owner, { url: moved.url });
      const ofSilent = await webhooks.create(owner, { url: silent.url });
      deliver({ attemptMs: 300, retryMs: 60_000 });
      await newSandbox(owner.ownerId);
      await waitFor(async () => !(await webhooks.get(owner, ofGone.id)).active);
      expect((await webhooks.get(owner, ofGone.id)).inactiveReason).toContain("410 Gone");
      const errorOf = async (id: string) => (await log(owner, id))[0]?.error;
      await waitFor(async () => (await errorOf(ofMoved.id)) && (await errorOf(ofSilent.id)));
      expect(await errorOf(ofMoved.id)).toContain("redirect (302)");
      expect(await errorOf(ofSilent.id)).toContain("No answer within");
      expect(elsewhere.received).toEqual([]);
    });

    test("a receiver that never answers holds up no other, not even of its owner", async () => {
      const [silent, quick] = [await receiver(), await receiver()];
      silent.answer = () => undefined;
      const owner = newOwner();
      await webhooks.create(owner, { url: silent.url });
      await webhooks.create(owner, { url: quick.url });
      deliver({ attemptMs: 60_000 });
      const sandboxId = await newSandbox(owner.ownerId);
      await database.events.appendAll(
        Array.from({ length: 50 }, () => ({ sandboxId, type: "command.ended" })),
      );
      await waitFor(() => quick.received.length === 51);
      expect(silent.received).toHaveLength(4);
    });

    test("what a stopped process was sending is sent by the next", async () => {
      const target = await receiver();
      target.answer = () => undefined;
      const owner = newOwner();
      await webhooks.create(owner, { url: target.url });
      const first = deliver({ attemptMs: 60_000 });
      await newSandbox(owner.ownerId);
      await waitFor(() => target.received.length === 1);
      await first[Symbol.asyncDispose]();
      target.answer = (response) => void response.end();
      deliver();
      await waitFor(() => target.received.length === 2);
      const ids = target.received.map(({ headers }) => headers["webhook-id"]);
      expect(new Set(ids).size).toBe(1);
    });

    test("an answer without end is cut off, and counts by its status", async () => {
      const target = await receiver();
      const owner = newOwner();
      const { id } = await webhooks.create(owner, { url: target.url });
      let ended = false;
      target.answer = (response) => {
        const timer = setInterval(() => response.write("x".repeat(8192)), 1);
        response.once("close", () => {
          clearInterval(timer);
          ended = true;
        });
      };
      deliver({ attemptMs: 60_000 });
      await webhooks.test(owner, id);
      await waitFor(async () => (await log(owner, id))[0]?.state === "delivered" && ended);
      expect(target.types).toEqual(["webhook.test"]);
    });

    test("an address that is plainly private is refused when it is given", async () => {
      const careful = new OwnedWebhooks(database.webhooks, database.webhookDeliveries, namesInside);
      const owner = newOwner();
      const url = "http://10.0.0.7/hook";
      const refusal = { code: "invalid_request", message: expect.stringContaining("10.0.0.7") };
      await expect(careful.create(owner, { url })).rejects.toMatchObject(refusal);
      const { id } = await careful.create(owner, { url: "https://example.com/hook" });
      await expect(careful.change(owner, id, { url })).rejects.toMatchObject(refusal);
      await careful.remove(owner, id);
    });

    test("private addresses are refused unless they are allowed", async () => {
      const target = await receiver();
      const owner = newOwner();
      const { port } = new URL(target.url);
      const urls = [
        target.url,
        `http://localhost:${port}/`,
        `http://[::1]:${port}/`,
        "http://0x7f.1/",
      ];
      const made = await Promise.all(urls.map((url) => webhooks.create(owner, { url })));
      deliver({ retryMs: 60_000 }, false);
      await newSandbox(owner.ownerId);
      for (const { id } of made) {
        const error = await waitFor(async () => (await log(owner, id))[0]?.error);
        expect(error).toContain("only public addresses are sent to");
      }
      expect(target.received).toEqual([]);
    });

    test("an owner has twenty, and strangers see none of them", async () => {
      const [owner, stranger] = [newOwner(), newOwner()];
      const made = await Promise.allSettled(
        Array.from({ length: 25 }, () => webhooks.create(owner, { url: "https://example.com/" })),
      );
      expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(20);
      expect(made.find(({ status }) => status === "rejected")).toMatchObject({
        reason: { code: "limit_reached" },
      });
      const [first] = await webhooks.list(owner);
      const id = first?.id ?? "";
      const none = { code: "webhook_not_found" };
      await expect(webhooks.get(stranger, id)).rejects.toMatchObject(none);
      await expect(webhooks.change(stranger, id, { active: false })).rejects.toMatchObject(none);
      await expect(webhooks.test(stranger, id)).rejects.toMatchObject(none);
      await expect(webhooks.deliveries(stranger, id, {})).rejects.toMatchObject(none);
      await expect(webhooks.replay(stranger, id, id)).rejects.toMatchObject(none);
      expect(await webhooks.remove(stranger, id)).toBe(false);
      expect(await webhooks.remove(owner, id)).toBe(true);
      expect(await webhooks.list(owner)).toHaveLength(19);
    });

    test("the log is read page by page, and by state", async () => {
      const owner = newOwner();
      const { id } = await webhooks.create(owner, { url: "https://example.com/" });
      for (let count = 0; count < 5; count += 1) await webhooks.test(owner, id);
      const first = await webhooks.deliveries(owner, id, { limit: 3 });
      expect(first.items).toHaveLength(3);
      const cursor = first.nextCursor ?? "";
      const second = await webhooks.deliveries(owner, id, { limit: 3, cursor });
      expect(second.nextCursor).toBeUndefined();
      const ids = [...first.items, ...second.items].map((delivery) => delivery.id);
      expect(new Set(ids).size).toBe(5);
      expect((await webhooks.deliveries(owner, id, { state: "failed" })).items).toEqual([]);
      const other = await webhooks.create(owner, { url: "https://example.com/" });
      await expect(webhooks.deliveries(owner, other.id, { cursor })).rejects.toMatchObject({
        code: "invalid_request",
      });
      expect((await webhooks.change(owner, id, { active: false })).active).toBe(false);
      expect((await webhooks.deliveries(owner, id, { state: "failed" })).items).toHaveLength(5);
    });
  },
);
