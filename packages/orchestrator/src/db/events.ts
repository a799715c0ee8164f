import { LIMITS, type SandboxId } from "@insien/protocol";
import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { sandboxEvents } from "./schema.ts";

export type EventRecord = typeof sandboxEvents.$inferSelect;

export interface NewEvent {
  type: string;
  /** Now, by default. */
  at?: Date;
  data?: Record<string, unknown>;
}

export interface EventRows {
  /** For what happens to a sandbox without changing its row; a transition appends its event itself. */
  append(sandboxId: SandboxId, event: NewEvent): Promise<void>;
  /** Appends many in one statement. Those of sandboxes that are forgotten by now are left out. */
  appendAll(events: ReadonlyArray<NewEvent & { sandboxId: SandboxId }>): Promise<void>;
  /** The oldest first, those with a larger sequence than `after`; at most LIMITS.eventPage. */
  list(sandboxId: SandboxId, query?: { after?: number; limit?: number }): Promise<EventRecord[]>;
}

export function eventRows({ drizzle, read, write }: Connection): EventRows {
  const append = drizzle
    .insert(sandboxEvents)
    .values({
      sandboxId: sql.placeholder("sandboxId"),
      type: sql.placeholder("type"),
      at: sql.placeholder("at"),
      data: sql.placeholder("data"),
    })
    .prepare("event_append");

  return {
    append: async (sandboxId, event) => {
      const values = {
        sandboxId,
        type: event.type,
        at: event.at ?? new Date(),
        data: event.data ?? {},
      };
      await write(() => append.execute(values));
    },
    appendAll: async (events) => {
      if (events.length === 0) return;
      const rows = sql`unnest(
        ${sql.param(events.map((event) => event.sandboxId))}::text[],
        ${sql.param(events.map((event) => event.type))}::text[],
        ${sql.param(events.map((event) => event.at ?? new Date()))}::timestamptz[],
        ${sql.param(events.map((event) => JSON.stringify(event.data ?? {})))}::jsonb[]
      ) with ordinality as event (sandbox_id, type, at, data, position)`;
      await write(() =>
        drizzle.execute(sql`
          insert into sandbox_events (sandbox_id, type, at, data)
          select event.sandbox_id, event.type, event.at, event.data from ${rows}
          where exists (select from sandboxes where id = event.sandbox_id)
          order by event.position`),
      );
    },
    list: (sandboxId, query = {}) =>
      read(() =>
        drizzle
          .select()
          .from(sandboxEvents)
          .where(
            and(
              eq(sandboxEvents.sandboxId, sandboxId),
              gt(sandboxEvents.sequence, query.after ?? 0),
            ),
          )
          .orderBy(asc(sandboxEvents.sequence))
          .limit(Math.min(query.limit ?? LIMITS.eventPage.value, LIMITS.eventPage.value)),
      ),
  };
}
