/**
 * Goal: no event is missed whose transaction ends after that of a later one, and no delivery is lost
 * or doubled by processes that end or meet.
 */
import { newId } from "@insien/protocol";
import {
  findPostgres,
  mustHave,
  startPostgres,
  type TestPostgres,
  waitFor,
} from "@insien/test-kit";
import pg from "pg";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openDatabase, type Database, type SandboxRecord } from "../src/db/index.ts";
import { FanOut } from "../src/webhooks/fan-out.ts";
import { WebhookDeliverer } from "../src/webhooks/webhook-deliverer.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";
import { WebhookReceiver } from "./webhook-receiver.ts";

const binaries = await findPostgres();
const log = pino({ level: "silent" });

describe.runIf(mustHave(binaries !== undefined, "PostgreSQL"))(
  "events of slow transactions",
  () => {
    let server: TestPostgres;
    let url: string;
    let database: Database;
    let sandbox: SandboxRecord;
    let webhookId: string;
    beforeAll(async () => {
      server = await startPostgres(binaries ?? "");
    });
    afterAll(() => server[Symbol.asyncDispose]());
    beforeEach(async () => {
      url = await server.createDatabase();
      database = await openDatabase({ dataDirectory: "/nonexistent", url });
      sandbox = await database.sandboxes.insert(newSandboxRow(), { type: "sandbox.created" });
      webhookId = newId();
      await addWebhook("http://127.0.0.1:9/");
      return () => database[Symbol.asyncDispose]();
    });

    const addWebhook = (target: string) =>
      database.webhooks.insert(
        {
          id: webhookId,
          ownerId: sandbox.ownerId,
          url: target,
          secret: "whsec_AAAA",
          events: ["*"],
          description: undefined,
          active: true,
          inactiveReason: undefined,
          failures: 0,
          createdAt: new Date(),
        },
        20,
      );
    const append = (type: string) => database.events.append(sandbox.id, { type });
    const openTransaction = async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.query("begin");
      return {
        append: async (type: string) => {
          const { rows } = await client.query<{ sequence: string }>(
            "insert into sandbox_events (sandbox_id, type, at, data) values ($1, $2, now(), '{}') returning sequence",
            [sandbox.id, type],
          );
          return Number(rows[0]?.sequence);
        },
        end: async (how: "commit" | "rollback") => {
          await client.query(how);
          await client.end();
        },
      };
    };
    const delivered = async () => {
      const { items } = await database.webhookDeliveries.list(webhookId, {});
      return items
        .sort((one, other) => (one.eventSequence ?? 0) - (other.eventSequence ?? 0))
        .map(({ event }) => event.type);
    };
    /** Until there is nothing more to read. */
    const settle = async (...readers: FanOut[]) => {
      await waitFor(async () => {
        const more = await Promise.all(readers.map((reader) => reader.round()));
        return !more.includes(true);
      });
    };

    test.each(["commit", "rollback"] as const)(
      "an event that is still to be seen is waited for, until its transaction ends by %s",
      async (how) => {
        const slow = await openTransaction();
        const sequence = await slow.append("slow.event");
        await append("quick.event");
        const [, quick] = await database.events.list(sandbox.id);
        // What a reader by number alone would have gone past.
        expect(quick?.sequence).toBeGreaterThan(sequence);

        const reader = new FanOut(database.webhookQueue);
        for (let round = 0; round < 5; round += 1) expect(await reader.round()).toBe(true);
        expect(await delivered()).toEqual([]);
        await slow.end(how);
        await settle(reader);
        expect(await delivered()).toEqual(
          how === "commit" ? ["slow.event", "quick.event"] : ["quick.event"],
        );
      },
    );

    test("those who began later hold nothing up", async () => {
      await append("first.event");
      const first = await openTransaction();
      await first.append("second.event");
      const reader = new FanOut(database.webhookQueue);
      expect(await reader.round()).toBe(true);
      const second = await openTransaction();
      await second.append("third.event");
      await first.end("commit");
      await settle(reader);
      expect(await delivered()).toEqual(["first.event", "second.event"]);
      await second.end("commit");
      await settle(reader);
      await settle(reader);
      expect(await delivered()).toEqual(["first.event", "second.event", "third.event"]);
    });

    test("many writers and readers at once miss nothing and double nothing", async () => {
      const readers = Array.from({ length: 3 }, () => new FanOut(database.webhookQueue));
      const reading = new AbortController();
      const loops = readers.map(async (reader) => {
        while (!reading.signal.aborted) await reader.round();
      });
      const writers = Array.from({ length: 6 }, async (_, writer) => {
        for (let count = 0; count < 20; count += 1) {
          const transaction = await openTransaction();
          await transaction.append(`writer.n${writer}`);
          await append("between.event");
          await transaction.append(`writer.n${writer}`);
          await transaction.end(count % 5 === 0 ? "rollback" : "commit");
        }
      });
      await Promise.all(writers);
      reading.abort();
      await Promise.all(loops);
      await settle(...readers);
      await settle(...readers);
      const { rows } = await query<{ events: string; deliveries: string; missed: string }>(`
      select (select count(*) from sandbox_events where type <> 'sandbox.created') as events,
        (select count(*) from webhook_deliveries) as deliveries,
        (select count(*) from sandbox_events where type <> 'sandbox.created' and sequence not in
          (select event_sequence from webhook_deliveries)) as missed`);
      expect(rows).toEqual([{ events: "312", deliveries: "312", missed: "0" }]);
    });

    const query = async <Row extends pg.QueryResultRow>(text: string) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      try {
        return await client.query<Row>(text);
      } finally {
        await client.end();
      }
    };

    test("a delivery is one process's alone, until that one has been silent for too long", async () => {
      for (let count = 0; count < 3; count += 1) await append("some.event");
      await settle(new FanOut(database.webhookQueue));
      const claims = await Promise.all(
        Array.from({ length: 8 }, () => database.webhookQueue.claim([], 10)),
      );
      const [lost] = claims.flat();
      expect(claims.flat()).toHaveLength(3);
      expect(await database.webhookQueue.claim([], 10)).toEqual([]);
      // As it is when the time of the one who took it up is over.
      await query("update webhook_deliveries set next_attempt_at = now()");
      const again = await database.webhookQueue.claim([], 10);
      expect(again.map(({ attempts }) => attempts)).toEqual([2, 2, 2]);
      if (lost === undefined) throw new Error("nothing was claimed");
      // The one that was thought lost comes back, and has no say any more.
      await database.webhookQueue.settle(lost, {
        status: 200,
        error: undefined,
        retryMs: undefined,
      });
      const { items } = await database.webhookDeliveries.list(webhookId, { state: "delivered" });
      expect(items).toEqual([]);
    });

    test("nothing is written about events while there is no webhook", async () => {
      await database.webhooks.remove(sandbox.ownerId, webhookId);
      await append("some.event");
      expect(await new FanOut(database.webhookQueue).round()).toBe(false);
      expect((await query("select from event_readers")).rowCount).toBe(0);
    });

    test("one that falls too far behind is switched off, and the log is bounded", async () => {
      await query(`
      insert into webhook_deliveries (id, webhook_id, event, state, attempts, created_at, next_attempt_at)
      select 'waiting' || n, '${webhookId}', '{}', 'pending', 0, now() - interval '1 minute', now() + interval '1 hour'
      from generate_series(1, 10000) as n`);
      await append("one.toomany");
      await settle(new FanOut(database.webhookQueue));
      const webhook = await database.webhooks.get(sandbox.ownerId, webhookId);
      expect(webhook).toMatchObject({
        active: false,
        inactiveReason: "More than 10000 deliveries were waiting",
      });
      expect(await database.webhookQueue.purge()).toBe(1);
      await query(
        `update webhook_deliveries set created_at = now() - interval '8 days' where id like 'waiting%'`,
      );
      expect(await database.webhookQueue.purge()).toBe(1000);
    });

    test("a deliverer outlives its database's restart", async () => {
      await using receiver = await WebhookReceiver.start();
      await database.webhooks.change(sandbox.ownerId, webhookId, { url: receiver.url });
      const deliverer = new WebhookDeliverer({
        queue: database.webhookQueue,
        allowPrivate: true,
        log,
        timings: { pollMs: 20 },
      });
      await using running = deliverer;
      running.start();
      await append("before.crash");
      await waitFor(() => receiver.received.length === 1);
      await server.crash({ downMs: 200 });
      await append("after.crash");
      await waitFor(() => receiver.types.includes("after.crash"));
    });
  },
);
