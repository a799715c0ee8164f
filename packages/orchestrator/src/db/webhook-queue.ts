/**
 * From events to deliveries, and deliveries to whoever sends them. Any number of processes may do
 * either at once.
 *
 * An event's sequence number is taken before its transaction ends, so the events up to a number may
 * still grow after they were read. Who inserts one holds a lock on the table, of the kind that
 * inserts take, from before the number is taken until the event can be seen. So the events up to the
 * last number taken are all there once those have ended who held that lock when the number was read.
 */
import { LIMITS } from "@insien/protocol";
import { sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { CLAIM } from "./webhook-deliveries.ts";
import { giveUpWaiting } from "./webhooks.ts";

const READER = "webhooks";

/** What there is to read of the events. */
export interface EventRange {
  /** Up to here everything was turned into deliveries. */
  position: number;
  /** The last number taken. */
  end: number;
}

/** A delivery that was taken up, and all that sending it needs. */
export interface ClaimedDelivery {
  id: string;
  webhookId: string;
  ownerId: string;
  url: string;
  secret: string;
  sequence: number | undefined;
  sandboxId: string | undefined;
  event: { type: string; at: string; data: Record<string, unknown> };
  /** This one included. */
  attempts: number;
}

/** What a process is sending already. */
export interface Busy {
  webhookId: string;
  ownerId: string;
  attempts: number;
}

export interface AttemptOutcome {
  status: number | undefined;
  /** `undefined` when it was delivered. */
  error: string | undefined;
  /** Until the next attempt, where it failed; `undefined`: there is none. */
  retryMs: number | undefined;
}

export interface WebhookQueue {
  /** `undefined` while no webhook is active: the usual case, which costs one look at one table. */
  range(): Promise<EventRange | undefined>;
  /** The transactions that may be about to show events of numbers that are taken. */
  writers(): Promise<Set<string>>;
  /**
   * Turns events of the range, LIMITS.webhookEventsAtOnce at most, into deliveries. Gives how far it
   * came, and the webhooks that got any; `undefined` when another process was quicker.
   */
  fanOut(range: EventRange): Promise<{ position: number; webhookIds: string[] } | undefined>;
  /** How many deliveries wait for a webhook, counted up to `maximum`. */
  waiting(webhookId: string, maximum: number): Promise<number>;
  /** Takes up deliveries that are due, at most `maximum`, and of each webhook and owner their share. */
  claim(busy: readonly Busy[], maximum: number): Promise<ClaimedDelivery[]>;
  /** Writes down what an attempt came to, unless the delivery was taken up anew meanwhile. */
  settle(claimed: ClaimedDelivery, outcome: AttemptOutcome): Promise<void>;
  /** Switches a webhook off and gives its waiting deliveries up. */
  switchOff(webhookId: string, reason: string): Promise<void>;
  /** Forgets finished deliveries that are old or too many; LIMITS.purgeRows at most. Gives how many. */
  purge(): Promise<number>;
}

export function webhookQueue(connection: Connection): WebhookQueue {
  const { drizzle, read, write } = connection;
  return {
    range: () => range(connection),
    writers: async () => {
      const { rows } = await read(() => drizzle.execute<{ writer: string }>(WRITERS));
      return new Set(rows.map(({ writer }) => writer));
    },
    fanOut: async ({ position, end }) => {
      const { rows } = await write(() =>
        drizzle.execute<{ position: string | null; webhook_ids: string[] }>(fanOut(position, end)),
      );
      const [row] = rows;
      if (row === undefined || row.position === null) return undefined;
      return { position: Number(row.position), webhookIds: row.webhook_ids };
    },
    waiting: async (webhookId, maximum) => {
      const { rows } = await read(() =>
        drizzle.execute<{ count: string }>(sql`
          select count(*) from (
            select from webhook_deliveries where webhook_id = ${webhookId} and state = 'pending'
            limit ${maximum}) as counted`),
      );
      return Number(rows[0]?.count ?? 0);
    },
    claim: (busy, maximum) => claim(connection, busy, maximum),
    settle: (claimed, outcome) => settle(connection, claimed, outcome),
    switchOff: (webhookId, reason) => switchOff(connection, webhookId, reason),
    purge: async () => {
      const removed = await write(() => drizzle.execute(PURGE));
      return removed.rowCount ?? 0;
    },
  };
}

async function range({ drizzle, read, write }: Connection): Promise<EventRange | undefined> {
  const { rows } = await read(() =>
    drizzle.execute<{ start: string | null; end: string; position: string | null }>(sql`
      select (select min(after_sequence) from webhooks where active) as start,
        (select case when is_called then last_value else 0 end
          from sandbox_events_sequence_seq) as end,
        (select position from event_readers where name = ${READER}) as position`),
  );
  const [row] = rows;
  if (row === undefined || row.start === null) return undefined;
  const start = Number(row.start);
  if (row.position !== null && Number(row.position) >= start) {
    return { position: Number(row.position), end: Number(row.end) };
  }
  // Nobody wants what is before the first webhook; where another process is further, it is right.
  await write(() =>
    drizzle.execute(sql`
      insert into event_readers as reader (name, position) values (${READER}, ${String(start)})
      on conflict (name) do update set position = excluded.position
      where reader.position::bigint < excluded.position::bigint`),
  );
  return { position: start, end: Number(row.end) };
}

const WRITERS = sql`
  select distinct virtualtransaction as writer from pg_locks
  where locktype = 'relation' and granted and mode = 'RowExclusiveLock'
    and relation = 'sandbox_events'::regclass
    and database = (select oid from pg_database where datname = current_database())`;

// Moving the position and adding what lies between is one statement: both happen, or neither.
const fanOut = (position: number, end: number) => sql`
  with batch as materialized (
    select event.sequence, event.sandbox_id, event.type, event.at, event.data, sandboxes.owner_id
    from sandbox_events as event join sandboxes on sandboxes.id = event.sandbox_id
    where event.sequence > ${position} and event.sequence <= ${end}
    order by event.sequence limit ${LIMITS.webhookEventsAtOnce.value}
  ), moved as (
    update event_readers set position = (
      select case when count(*) < ${LIMITS.webhookEventsAtOnce.value} then ${end}::bigint
        else max(sequence) end from batch)::text
    where name = ${READER} and position = ${String(position)}
    returning position
  ), added as (
    insert into webhook_deliveries
      (id, webhook_id, event_sequence, sandbox_id, event, state, attempts, created_at, next_attempt_at)
    select replace(gen_random_uuid()::text, '-', ''), webhooks.id, batch.sequence, batch.sandbox_id,
      jsonb_build_object(
        'type', batch.type,
        'at', to_char(batch.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'data', batch.data),
      'pending', 0, now(), now()
    from moved cross join batch join webhooks on webhooks.owner_id = batch.owner_id
    where webhooks.active and webhooks.after_sequence < batch.sequence
      and webhooks.events && array['*', batch.type, split_part(batch.type, '.', 1) || '.*']
    order by batch.sequence
    on conflict do nothing
    returning webhook_id
  )
  select (select position from moved) as position,
    array(select distinct webhook_id from added) as webhook_ids`;

interface ClaimedRow extends Record<string, unknown> {
  id: string;
  webhook_id: string;
  owner_id: string;
  url: string;
  secret: string;
  event_sequence: string | null;
  sandbox_id: string | null;
  event: ClaimedDelivery["event"];
  attempts: number;
}

async function claim(
  { drizzle, write }: Connection,
  busy: readonly Busy[],
  maximum: number,
): Promise<ClaimedDelivery[]> {
  const { rows } = await write(() =>
    drizzle.execute<ClaimedRow>(sql`
      with busy as (
        select * from unnest(
          ${sql.param(busy.map(({ webhookId }) => webhookId))}::text[],
          ${sql.param(busy.map(({ ownerId }) => ownerId))}::text[],
          ${sql.param(busy.map(({ attempts }) => attempts))}::integer[]
        ) as busy (webhook_id, owner_id, attempts)
      ), due as (
        select delivery.id, webhooks.owner_id, delivery.next_attempt_at,
          row_number() over (partition by webhooks.owner_id order by delivery.next_attempt_at) as place
        from webhooks left join busy on busy.webhook_id = webhooks.id
        cross join lateral (
          select id, next_attempt_at from webhook_deliveries
          where webhook_id = webhooks.id and state = 'pending' and next_attempt_at <= now()
          order by next_attempt_at
          limit greatest(${LIMITS.webhookAttemptsAtOnce.value} - coalesce(busy.attempts, 0), 0)
        ) as delivery
        where webhooks.active
      ), chosen as (
        select due.id from due
        where place <= ${LIMITS.webhookAttemptsOfOwnerAtOnce.value} - coalesce(
          (select sum(attempts) from busy where busy.owner_id = due.owner_id), 0)
        order by place, next_attempt_at limit ${maximum}
      ), locked as materialized (
        select id from webhook_deliveries
        where id in (select id from chosen) and state = 'pending' and next_attempt_at <= now()
        for update skip locked
      )
      update webhook_deliveries as delivery
      set attempts = delivery.attempts + 1, last_attempt_at = now(), next_attempt_at = now() + ${CLAIM}
      from locked, webhooks
      where delivery.id = locked.id and webhooks.id = delivery.webhook_id
      returning delivery.id, delivery.webhook_id, webhooks.owner_id, webhooks.url, webhooks.secret,
        delivery.event_sequence, delivery.sandbox_id, delivery.event, delivery.attempts`),
  );
  return rows.map((row) => ({
    id: row.id,
    webhookId: row.webhook_id,
    ownerId: row.owner_id,
    url: row.url,
    secret: row.secret,
    sequence: row.event_sequence === null ? undefined : Number(row.event_sequence),
    sandboxId: row.sandbox_id ?? undefined,
    event: row.event,
    attempts: row.attempts,
  }));
}

async function settle(
  { drizzle, write }: Connection,
  { id, webhookId, attempts }: ClaimedDelivery,
  { status, error, retryMs }: AttemptOutcome,
): Promise<void> {
  const state = error === undefined ? "delivered" : retryMs === undefined ? "failed" : "pending";
  const due =
    state === "pending" ? sql`now() + ${retryMs}::integer * interval '1 millisecond'` : sql`null`;
  const settled = sql`
    update webhook_deliveries
    set state = ${state}, response_status = ${status ?? null}::integer, error = ${error ?? null}::text,
      next_attempt_at = ${due}
    where id = ${id} and attempts = ${attempts} and state = 'pending'
    returning id`;
  const counted = {
    delivered: sql`update webhooks set failures = 0
      where id = ${webhookId} and failures > 0 and exists (select from settled)`,
    failed: sql`update webhooks set failures = failures + 1
      where id = ${webhookId} and exists (select from settled)`,
    pending: sql`select`,
  };
  await write(() => drizzle.execute(sql`with settled as (${settled}) ${counted[state]}`));
  if (state === "failed") await switchOffTheUnheard({ drizzle, write }, webhookId);
}

async function switchOffTheUnheard(
  connection: Pick<Connection, "drizzle" | "write">,
  webhookId: string,
): Promise<void> {
  const { rows } = await connection.write(() =>
    connection.drizzle.execute(
      sql`select id from webhooks where id = ${webhookId} and failures >= ${LIMITS.webhookFailures.value}`,
    ),
  );
  if (rows.length === 0) return;
  const reason = `${LIMITS.webhookFailures.value} deliveries in a row failed for good`;
  await switchOff(connection, webhookId, reason);
}

async function switchOff(
  { drizzle, write }: Pick<Connection, "drizzle" | "write">,
  webhookId: string,
  reason: string,
): Promise<void> {
  await write(() =>
    drizzle.execute(sql`
      with off as (
        update webhooks set active = false, inactive_reason = ${reason}
        where id = ${webhookId} and active returning id
      ) ${giveUpWaiting(sql`(select id from off)`, `The webhook was switched off: ${reason}`)}`),
  );
}

const PURGE = sql`
  with old as (
    select delivery.id from webhook_deliveries as delivery
    where state <> 'pending'
      and created_at < now() - ${LIMITS.webhookLogMs.value}::bigint * interval '1 millisecond'
    limit ${LIMITS.purgeRows.value}
  ), surplus as (
    select delivery.id from webhooks cross join lateral (
      select id, state from webhook_deliveries where webhook_id = webhooks.id
      order by created_at desc, id desc offset ${LIMITS.webhookLogDeliveries.value}
    ) as delivery
    where delivery.state <> 'pending' limit ${LIMITS.purgeRows.value}
  )
  delete from webhook_deliveries
  where id in (select id from old union all select id from surplus limit ${LIMITS.purgeRows.value})`;
