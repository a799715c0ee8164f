import { LIMITS } from "@insien/protocol";
import { and, desc, eq, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { webhookDeliveries } from "./schema/webhooks.ts";

/** How long a process that takes a delivery up has it for itself: an attempt, and its writing down. */
export const CLAIM = sql.raw(`interval '${2 * LIMITS.webhookAttemptMs.value} milliseconds'`);

export type DeliveryRecord = Absent<typeof webhookDeliveries.$inferSelect>;

export interface DeliveryQuery {
  state?: DeliveryRecord["state"];
  limit?: number;
  cursor?: string;
}

/** The log of what was sent, and what its reader may have sent besides. */
export interface DeliveryRows {
  /** Newest first. Throws `invalid_request` for a cursor that no page of the same list gave. */
  list(
    webhookId: string,
    query: DeliveryQuery,
  ): Promise<{ items: DeliveryRecord[]; nextCursor: string | undefined }>;
  get(webhookId: string, id: string): Promise<DeliveryRecord | undefined>;
  /** One of no sandbox's event, due at once. `undefined` when `maximum` wait already. */
  insert(
    webhookId: string,
    delivery: Pick<DeliveryRecord, "id" | "event" | "createdAt">,
    maximum: number,
  ): Promise<DeliveryRecord | undefined>;
  /** Makes a finished one due again, with all its attempts; one that waits is only due at once. */
  replay(webhookId: string, id: string): Promise<DeliveryRecord | undefined>;
}

export function deliveryRows({ drizzle, read, write }: Connection): DeliveryRows {
  const one = (webhookId: string, id: string) =>
    and(eq(webhookDeliveries.webhookId, webhookId), eq(webhookDeliveries.id, id));

  return {
    list: async (webhookId, query) => {
      const limit = Math.min(query.limit ?? LIMITS.pageSize.value, LIMITS.pageSize.value);
      const scope = `${webhookId} ${query.state ?? ""}`;
      const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor, scope);
      const { createdAt, id } = webhookDeliveries;
      const rows = await read(() =>
        drizzle
          .select()
          .from(webhookDeliveries)
          .where(
            and(
              eq(webhookDeliveries.webhookId, webhookId),
              query.state === undefined ? undefined : eq(webhookDeliveries.state, query.state),
              after && sql`(${createdAt}, ${id}) < (${after.at}::timestamptz, ${after.id})`,
            ),
          )
          .orderBy(desc(createdAt), desc(id))
          .limit(limit + 1),
      );
      const items = rows.slice(0, limit).map(withoutNulls);
      const last = rows.length > limit ? items.at(-1) : undefined;
      const nextCursor = last && encodeCursor({ at: last.createdAt, id: last.id }, scope);
      return { items, nextCursor };
    },
    get: async (webhookId, id) => {
      const [row] = await read(() =>
        drizzle.select().from(webhookDeliveries).where(one(webhookId, id)),
      );
      return row && withoutNulls(row);
    },
    insert: async (webhookId, delivery, maximum) => {
      const { rows: counts } = await read(() =>
        drizzle.execute<{ count: string }>(sql`
          select count(*) from (
            select from webhook_deliveries where webhook_id = ${webhookId} and state = 'pending'
            limit ${maximum}) as counted`),
      );
      if (Number(counts[0]?.count ?? 0) >= maximum) return undefined;
      const [row] = await write(() =>
        drizzle
          .insert(webhookDeliveries)
          .values({
            ...delivery,
            webhookId,
            state: "pending",
            attempts: 0,
            nextAttemptAt: sql`now()`,
          })
          .returning(),
      );
      if (row === undefined) throw new Error("an insert gave no row");
      return withoutNulls(row);
    },
    replay: async (webhookId, id) => {
      const { state, attempts, lastAttemptAt, nextAttemptAt } = webhookDeliveries;
      const [row] = await write(() =>
        drizzle
          .update(webhookDeliveries)
          .set({
            attempts: sql`case when ${state} = 'pending' then ${attempts} else 0 end`,
            state: "pending",
            // One that is being sent at this moment must not be taken up by another process.
            nextAttemptAt: sql`case when ${state} = 'pending' and ${lastAttemptAt} > now() - ${CLAIM}
              then ${nextAttemptAt} else now() end`,
          })
          .where(one(webhookId, id))
          .returning(),
      );
      return row && withoutNulls(row);
    },
  };
}
