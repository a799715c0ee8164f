import { and, asc, eq, sql, type SQL } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { webhookDeliveries, webhooks } from "./schema/webhooks.ts";

export type WebhookRecord = Absent<typeof webhooks.$inferSelect>;
export type NewWebhook = Omit<WebhookRecord, "afterSequence">;
export type WebhookChanges = Partial<
  Pick<WebhookRecord, "url" | "events" | "description" | "active">
>;

export interface WebhookRows {
  /** `false`, and nothing stored, when its owner has as many as `maximum` already. */
  insert(webhook: NewWebhook, maximum: number): Promise<boolean>;
  get(ownerId: string, id: string): Promise<WebhookRecord | undefined>;
  /** The oldest first. */
  list(ownerId: string): Promise<WebhookRecord[]>;
  /**
   * One that is switched off gives its waiting deliveries up; one that is switched on again gets the
   * events from now on. `undefined` when there is none.
   */
  change(ownerId: string, id: string, changes: WebhookChanges): Promise<WebhookRecord | undefined>;
  /** With its deliveries. `false` when there was none. */
  remove(ownerId: string, id: string): Promise<boolean>;
}

const LAST_SEQUENCE: SQL<number> = sql`(
  select case when is_called then last_value else 0 end from sandbox_events_sequence_seq)`;

export function webhookRows({ drizzle, read, write }: Connection): WebhookRows {
  const ofOwner = (ownerId: string, id: string): SQL | undefined =>
    and(eq(webhooks.ownerId, ownerId), eq(webhooks.id, id));

  return {
    insert: (webhook, maximum) =>
      write(() =>
        drizzle.transaction(async (transaction) => {
          // Without it, two that count at once would both find room for one.
          await transaction.execute(
            sql`select pg_advisory_xact_lock(hashtext(${`webhooks ${webhook.ownerId}`}))`,
          );
          const present = await transaction.$count(webhooks, eq(webhooks.ownerId, webhook.ownerId));
          if (present >= maximum) return false;
          await transaction.insert(webhooks).values({ ...webhook, afterSequence: LAST_SEQUENCE });
          return true;
        }),
      ),
    get: async (ownerId, id) => {
      const [row] = await read(() => drizzle.select().from(webhooks).where(ofOwner(ownerId, id)));
      return row && withoutNulls(row);
    },
    list: async (ownerId) => {
      const rows = await read(() =>
        drizzle
          .select()
          .from(webhooks)
          .where(eq(webhooks.ownerId, ownerId))
          .orderBy(asc(webhooks.createdAt), asc(webhooks.id)),
      );
      return rows.map(withoutNulls);
    },
    change: (ownerId, id, changes) =>
      write(() =>
        drizzle.transaction(async (transaction) => {
          const [row] = await transaction
            .update(webhooks)
            .set({ ...changes, ...(changes.active === true ? SWITCHED_ON : {}) })
            .where(ofOwner(ownerId, id))
            .returning();
          if (row !== undefined && changes.active === false) {
            await transaction.execute(giveUpWaiting(sql`${id}`, "The webhook was switched off"));
          }
          return row && withoutNulls(row);
        }),
      ),
    remove: async (ownerId, id) => {
      const removed = await write(() => drizzle.delete(webhooks).where(ofOwner(ownerId, id)));
      return (removed.rowCount ?? 0) > 0;
    },
  };
}

const SWITCHED_ON = {
  failures: 0,
  inactiveReason: null,
  afterSequence: sql`case when ${webhooks.active} then ${webhooks.afterSequence} else ${LAST_SEQUENCE} end`,
};

/** The statement that ends what waits for a webhook. */
export function giveUpWaiting(webhookId: SQL, error: string): SQL {
  return sql`
    update ${webhookDeliveries} set state = 'failed', error = ${error}, next_attempt_at = null
    where webhook_id = ${webhookId} and state = 'pending'`;
}
