import type { SandboxId } from "@insien/protocol";
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import { instant } from "./instant.ts";

export const webhooks = pgTable(
  "webhooks",
  {
    id: text().primaryKey(),
    ownerId: text("owner_id").notNull(),
    url: text().notNull(),
    /** Signs what is sent; in the clear, because signing needs it. */
    secret: text().notNull(),
    events: text().array().notNull(),
    description: text(),
    active: boolean().notNull(),
    inactiveReason: text("inactive_reason"),
    /** Deliveries that failed for good, one after the other. */
    failures: integer().notNull(),
    /** It gets the events that come after this one: those since it was made or switched on again. */
    afterSequence: bigint("after_sequence", { mode: "number" }).notNull().default(0),
    createdAt: instant("created_at").notNull(),
  },
  (table) => [index("webhooks_of_owner").on(table.ownerId, table.createdAt)],
);

/** One event on its way to one address; the log of deliveries at once. */
export const webhookDeliveries = pgTable(
  "webhook_deliveries",
  {
    id: text().primaryKey(),
    webhookId: text("webhook_id")
      .notNull()
      .references(() => webhooks.id, { onDelete: "cascade" }),
    /** Absent, as the sandbox is, in a test. */
    eventSequence: bigint("event_sequence", { mode: "number" }),
    sandboxId: text("sandbox_id").$type<SandboxId>(),
    /** All that is sent of it: the event itself may be forgotten before its delivery is. */
    event: jsonb().$type<{ type: string; at: string; data: Record<string, unknown> }>().notNull(),
    state: text().$type<"pending" | "delivered" | "failed">().notNull(),
    attempts: integer().notNull(),
    responseStatus: integer("response_status"),
    error: text(),
    createdAt: instant("created_at").notNull(),
    lastAttemptAt: instant("last_attempt_at"),
    /** Not before; a process that takes it up moves it on, so that no other takes it too. */
    nextAttemptAt: instant("next_attempt_at"),
  },
  (table) => [
    uniqueIndex("webhook_deliveries_once").on(table.webhookId, table.eventSequence),
    index("webhook_deliveries_due")
      .on(table.webhookId, table.nextAttemptAt)
      .where(sql`${table.state} = 'pending'`),
    index("webhook_deliveries_log").on(table.webhookId, table.createdAt),
    index("webhook_deliveries_age").on(table.createdAt),
  ],
);
