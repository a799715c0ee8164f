import {
  LIMITS,
  type MachineId,
  type MainStatus,
  type SandboxId,
  type SandboxState,
} from "@insien/protocol";
import { and, asc, desc, eq, isNotNull, lt, ne, or, sql, type SQL } from "drizzle-orm";
import type { Connection, Statements } from "./connection.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";
import type { NewEvent } from "./events.ts";
import { admitted, type Admission } from "./quotas.ts";
import { placeholders, withNulls, withoutNulls, type Absent } from "./records.ts";
import { sandboxEvents, sandboxes } from "./schema.ts";

type Row = typeof sandboxes.$inferSelect;
type FlatRecord = Omit<Absent<Row>, "cpu" | "memoryBytes" | "pids">;

/** A sandbox as stored: what its owner sees, and what the reconcilers need. */
export interface SandboxRecord extends FlatRecord {
  limits: { cpu: number; memoryBytes: number; pids: number };
}

const CHANGEABLE = [
  "name",
  "state",
  "stateReason",
  "machineId",
  "nodeId",
  "startedAt",
  "endedAt",
  "expiresAt",
  "idleTimeoutSeconds",
] as const;

/** May be long, and seldom change: only a statement that is for them writes them. */
const SETTINGS = [
  "environment",
  "environmentChangedAt",
  "entrypoint",
  "command",
  "entrypointChangedAt",
] as const;

type Changeable = (typeof CHANGEABLE)[number] | (typeof SETTINGS)[number];

/** What a transition may change. A key that is present with `undefined` clears its value. */
export type SandboxChanges = { [Key in Changeable]?: SandboxRecord[Key] };

export interface SandboxPage {
  items: SandboxRecord[];
  nextCursor: string | undefined;
}

export interface DueSandbox extends SandboxRecord {
  cause: "expired" | "idle";
}

export interface SandboxRows {
  /**
   * Stores a new sandbox (its version becomes 1) and its first event, in one round trip. With `admit`
   * nothing is stored when it throws, and no other admission of the owner's runs beside.
   */
  insert(
    sandbox: Omit<SandboxRecord, "version">,
    event: NewEvent,
    admit?: Admission,
  ): Promise<SandboxRecord>;
  get(id: SandboxId): Promise<SandboxRecord | undefined>;
  /**
   * Newest first; destroyed ones only when asked for by `state`. Throws `invalid_request` for a
   * cursor that no page of the same list gave.
   */
  list(
    ownerId: string,
    query: { state?: SandboxState; limit?: number; cursor?: string },
  ): Promise<SandboxPage>;
  /**
   * Changes a sandbox and appends the event that tells of it, in one round trip. Gives the sandbox
   * as it is then, or `undefined` when someone else changed it since `sandbox` was read: read again
   * and decide anew. `admit` as for `insert`.
   */
  transition(
    sandbox: SandboxRecord,
    changes: SandboxChanges,
    event: NewEvent,
    admit?: Admission,
  ): Promise<SandboxRecord | undefined>;
  /** Notes activity of many sandboxes at once. Moves times forward only and changes no version. */
  touch(activity: ReadonlyMap<SandboxId, Date>): Promise<void>;
  /**
   * Notes what agents say of main commands, of many sandboxes at once. Changes no version. Gives the
   * ids of those there are.
   */
  noteMain(statuses: ReadonlyMap<SandboxId, MainStatus>): Promise<SandboxId[]>;
  /**
   * Sandboxes whose time is over, past their expiry or running and idle too long, the longest due
   * first; of all nodes, or of one.
   */
  due(now: Date, limit: number, options?: { nodeId?: string }): Promise<DueSandbox[]>;
  byMachines(machineIds: readonly MachineId[]): Promise<SandboxRecord[]>;
  /** All of a node, but destroyed ones. */
  ofNode(nodeId: string): Promise<SandboxRecord[]>;
  /** Forgets sandboxes, and their events, that ended before an instant; at most LIMITS.purgeRows a call. Gives how many. */
  purge(endedBefore: Date): Promise<number>;
  /** How many `purge` would forget. */
  countEnded(before: Date): Promise<number>;
}

export function sandboxRows(connection: Connection): SandboxRows {
  const { read, write } = connection;
  const get = prepareGet(connection);
  const due = prepareDue(connection);
  const select = selectSandboxes(connection);

  return {
    ...writers(connection),
    get: async (id) => {
      const [row] = await read(() => get.execute({ id }));
      return row === undefined ? undefined : toRecord(row);
    },
    list: pager(connection),
    due: async (now, limit, { nodeId } = {}) => {
      const rows = await read(() => due.execute({ now, limit, nodeId: nodeId ?? null }));
      return rows.map(({ expired, sandbox }) => ({
        ...toRecord(sandbox),
        cause: expired ? ("expired" as const) : ("idle" as const),
      }));
    },
    byMachines: (machineIds) => select(sql`${sandboxes.machineId} = any(${sql.param(machineIds)})`),
    ofNode: (nodeId) => select(and(eq(sandboxes.nodeId, nodeId), LIVE)),
    countEnded: (before) =>
      read(() => connection.drizzle.$count(sandboxes, and(ENDED, lt(sandboxes.endedAt, before)))),
    purge: async (endedBefore) => {
      const old = connection.drizzle
        .select({ id: sandboxes.id })
        .from(sandboxes)
        .where(and(ENDED, lt(sandboxes.endedAt, endedBefore)))
        .limit(LIMITS.purgeRows.value);
      const removed = await write(() =>
        connection.drizzle.delete(sandboxes).where(sql`${sandboxes.id} in ${old}`),
      );
      return removed.rowCount ?? 0;
    },
  };
}

// The literal matches the condition of the partial indexes; a parameter would not.
const ENDED: SQL = sql`${sandboxes.state} in ('destroyed', 'failed')`;
const LIVE: SQL = sql`${sandboxes.state} <> 'destroyed'`;

type Writer = "insert" | "transition" | "touch" | "noteMain";

function writers(connection: Connection): Pick<SandboxRows, Writer> {
  const insert = prepareInsert(connection);
  const transition = prepareTransition(connection);
  const configure = prepareConfigure(connection);
  const noteMain = prepareNoteMain(connection);
  const touch = prepareTouch(connection);
  const { write, read } = connection;
  return {
    insert: async (sandbox, event, admit) => {
      const record = { ...sandbox, version: 1 };
      const values = { ...toRow(record), ...eventValues(event) };
      await (admit === undefined
        ? write(() => insert.execute(values))
        : admitted(connection, sandbox.ownerId, admit, (within) =>
            prepareInsert({ drizzle: within }).execute(values),
          ));
      return record;
    },
    transition: async (sandbox, changes, event, admit) => {
      const record = { ...sandbox, ...changes, version: sandbox.version + 1 };
      const values = { ...toRow(record), ...eventValues(event), expectedVersion: sandbox.version };
      const statement = SETTINGS.some((name) => name in changes) ? configure : transition;
      const done = await (admit === undefined
        ? write(() => statement.execute(values))
        : admitted(connection, sandbox.ownerId, admit, (within) =>
            prepareTransition({ drizzle: within }).execute(values),
          ));
      return done.length === 0 ? undefined : record;
    },
    touch: async (activity) => {
      if (activity.size === 0) return;
      await read(() =>
        touch.execute({ ids: [...activity.keys()], instants: [...activity.values()] }),
      );
    },
    noteMain: async (statuses) => {
      if (statuses.size === 0) return [];
      const texts = [...statuses.values()].map((status) => JSON.stringify(status));
      const noted = await write(() => noteMain.execute({ ids: [...statuses.keys()], texts }));
      return noted.map(({ id }) => id);
    },
  };
}

/** The columns of `sandbox_events` for `select … from` the change that the event tells of. */
const EVENT_OF_CHANGE = sql`
  nextval('sandbox_events_sequence_seq'), id,
  ${sql.placeholder("eventType")}::text,
  ${sql.placeholder("eventAt")}::timestamptz,
  ${sql.placeholder("eventData")}::jsonb`;

const eventValues = (event: NewEvent): Record<string, unknown> => ({
  eventType: event.type,
  eventAt: event.at ?? new Date(),
  eventData: event.data ?? {},
});

function prepareInsert({ drizzle }: { drizzle: Statements }) {
  const inserted = drizzle
    .$with("inserted")
    .as(drizzle.insert(sandboxes).values(placeholders(sandboxes)).returning({ id: sandboxes.id }));
  return drizzle
    .with(inserted)
    .insert(sandboxEvents)
    .select(sql`select ${EVENT_OF_CHANGE} from inserted`)
    .returning({ sequence: sandboxEvents.sequence })
    .prepare("sandbox_insert");
}

const prepareTransition = (statements: { drizzle: Statements }) =>
  prepareChange(statements, CHANGEABLE).prepare("sandbox_transition");

const prepareConfigure = (statements: { drizzle: Statements }) =>
  prepareChange(statements, [...CHANGEABLE, ...SETTINGS]).prepare("sandbox_configure");

function prepareChange({ drizzle }: { drizzle: Statements }, columns: readonly Changeable[]) {
  const updated = drizzle.$with("updated").as(
    drizzle
      .update(sandboxes)
      .set(placeholders(sandboxes, [...columns, "version"]))
      .where(
        and(
          eq(sandboxes.id, sql.placeholder("id")),
          eq(sandboxes.version, sql.placeholder("expectedVersion")),
        ),
      )
      .returning({ id: sandboxes.id }),
  );
  return drizzle
    .with(updated)
    .insert(sandboxEvents)
    .select(sql`select ${EVENT_OF_CHANGE} from updated`)
    .returning({ sequence: sandboxEvents.sequence });
}

function prepareNoteMain({ drizzle }: Connection) {
  const said = sql`unnest(
    ${sql.placeholder("ids")}::text[], ${sql.placeholder("texts")}::jsonb[]
  ) as said (id, status)`;
  return drizzle
    .update(sandboxes)
    .set({ main: sql`said.status` })
    .from(said)
    .where(sql`${sandboxes.id} = said.id`)
    .returning({ id: sandboxes.id })
    .prepare("sandbox_note_main");
}

function prepareTouch({ drizzle }: Connection) {
  const activity = sql`unnest(
    ${sql.placeholder("ids")}::text[], ${sql.placeholder("instants")}::timestamptz[]
  ) as activity (id, instant)`;
  return drizzle
    .update(sandboxes)
    .set({ lastActivityAt: sql`greatest(${sandboxes.lastActivityAt}, activity.instant)` })
    .from(activity)
    .where(and(sql`${sandboxes.id} = activity.id`, LIVE))
    .prepare("sandbox_touch");
}

function prepareGet({ drizzle }: Connection) {
  return drizzle
    .select()
    .from(sandboxes)
    .where(eq(sandboxes.id, sql.placeholder("id")))
    .prepare("sandbox_get");
}

function prepareDue({ drizzle }: Connection) {
  const now = sql`${sql.placeholder("now")}::timestamptz`;
  const expired = sql<boolean>`coalesce(${sandboxes.expiresAt} <= ${now}, false)`;
  const idleUntil = sql`${sandboxes.lastActivityAt} + ${sandboxes.idleTimeoutSeconds} * interval '1 second'`;
  const idle = and(
    eq(sandboxes.state, "running"),
    sql`${sandboxes.idleTimeoutSeconds} > 0`,
    sql`${idleUntil} <= ${now}`,
  );
  return drizzle
    .select({ sandbox: sandboxes, expired })
    .from(sandboxes)
    .where(
      and(
        LIVE,
        sql`${sandboxes.nodeId} = coalesce(${sql.placeholder("nodeId")}, ${sandboxes.nodeId})`,
        ne(sandboxes.state, "destroying"),
        or(and(isNotNull(sandboxes.expiresAt), expired), idle),
      ),
    )
    .orderBy(asc(sql`coalesce(${sandboxes.expiresAt}, ${idleUntil})`))
    .limit(sql.placeholder("limit"))
    .prepare("sandbox_due");
}

function selectSandboxes({ drizzle, read }: Connection) {
  return async (condition: SQL | undefined): Promise<SandboxRecord[]> => {
    const rows = await read(() => drizzle.select().from(sandboxes).where(condition));
    return rows.map(toRecord);
  };
}

function prepareList({ drizzle }: Connection) {
  const [state, at] = [
    sql`${sql.placeholder("state")}::text`,
    sql`${sql.placeholder("at")}::timestamptz`,
  ];
  const after = sql`(${at}, ${sql.placeholder("id")}::text)`;
  return drizzle
    .select()
    .from(sandboxes)
    .where(
      and(
        eq(sandboxes.ownerId, sql.placeholder("ownerId")),
        or(and(sql`${state} is null`, LIVE), sql`${sandboxes.state} = ${state}`),
        or(sql`${at} is null`, sql`(${sandboxes.createdAt}, ${sandboxes.id}) < ${after}`),
      ),
    )
    .orderBy(desc(sandboxes.createdAt), desc(sandboxes.id))
    .limit(sql.placeholder("limit"))
    .prepare("sandbox_list");
}

function pager(connection: Connection): SandboxRows["list"] {
  const prepared = prepareList(connection);
  return async (ownerId, query) => {
    const limit = Math.min(query.limit ?? LIMITS.pageSize.value, LIMITS.pageSize.value);
    const scope = `${ownerId} ${query.state ?? ""}`;
    const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor, scope);
    const values = {
      ...{ ownerId, state: query.state ?? null },
      ...{ at: after?.at ?? null, id: after?.id ?? null },
      // One more than asked for tells whether there is a next page.
      limit: limit + 1,
    };
    const rows = await connection.read(() => prepared.execute(values));
    const items = rows.slice(0, limit).map(toRecord);
    const last = items.at(-1);
    const nextCursor =
      rows.length > limit && last !== undefined
        ? encodeCursor({ at: last.createdAt, id: last.id }, scope)
        : undefined;
    return { items, nextCursor };
  };
}

function toRecord(row: Row): SandboxRecord {
  const { cpu, memoryBytes, pids, ...rest } = row;
  return { ...withoutNulls(rest), limits: { cpu, memoryBytes, pids } };
}

function toRow(record: SandboxRecord): Record<string, unknown> {
  const { limits, entrypoint, command, ...rest } = record;
  // The driver writes objects as JSON, but text as it is and lists as arrays of the database.
  const lines = { entrypoint: asJson(entrypoint), command: asJson(command) };
  return withNulls({ ...rest, ...lines, ...limits });
}

const asJson = (value: unknown): string | undefined =>
  value === undefined ? undefined : JSON.stringify(value);
