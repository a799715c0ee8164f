import { LIMITS, type MachineId, type SandboxId, type SandboxState } from "@insien/protocol";
import { and, count, eq, isNotNull, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { type Absent, withoutNulls } from "./records.ts";
import { sandboxes } from "./schema.ts";
import { usageSamples } from "./schema/usage.ts";
import { dropOldUsage, rollUpUsage, usageBounds } from "./usage-history.ts";

type Row = Absent<typeof usageSamples.$inferSelect>;

/** What one sandbox used, without what the row stands for. */
export type Usage = Omit<Row, "stepSeconds">;
export type UsageSample = Omit<Usage, "sandboxId">;

/** A sandbox that is to be measured. */
export interface MeteredSandbox {
  id: SandboxId;
  machineId: MachineId;
  startedAt: Date | undefined;
}

export interface UsageQuery {
  from: Date;
  to: Date;
  stepSeconds: number;
  /** Between two measurements, which is what each of them counts for. */
  intervalSeconds: number;
}

export type SandboxCounts = Partial<Record<SandboxState, number>>;

export interface UsageRows {
  /** How many sandboxes a node has in each state, but destroyed ones. */
  countByState(nodeId: string): Promise<SandboxCounts>;
  /** The sandboxes of a node whose machines run. */
  metered(nodeId: string): Promise<MeteredSandbox[]>;
  /** Stores measurements, in one statement. Those of sandboxes that are forgotten by now are left out. */
  add(measured: readonly Usage[]): Promise<void>;
  /** The bytes of each sandbox's own files; changes no version. */
  setDiskSizes(sizes: ReadonlyMap<SandboxId, number>): Promise<void>;
  /** The bytes of each volume's files. */
  setVolumeSizes(sizes: ReadonlyMap<string, number>): Promise<void>;
  /** The volumes whose storage is on a node. */
  volumesOf(nodeId: string): Promise<string[]>;
  /**
   * Oldest first, each the end of a step: the mean of cores, the highest of everything else. Where
   * measurements are gone, what was kept of them by the minute takes their place.
   */
  history(id: SandboxId, query: UsageQuery): Promise<UsageSample[]>;
  /** The last measurement of each running sandbox of a node, if it is newer than `since`. */
  latest(nodeId: string, since: Date, limit: number): Promise<Usage[]>;
  /** When the oldest measurement was made, and the end of the newest minute that was rolled up. */
  bounds(): Promise<{ oldest: Date | undefined; rolledUp: Date | undefined }>;
  /** Makes rows of a minute each, or makes them anew, from what was measured between two whole minutes. */
  rollUp(after: Date, until: Date): Promise<void>;
  /** Removes old rows, at most LIMITS.usagePurgeRows of each kind a call. Gives how many. */
  purge(before: { measured: Date; minutes: Date }): Promise<number>;
}

export function usageRows(connection: Connection): UsageRows {
  const { drizzle, read, write } = connection;

  const sizes = (table: "sandboxes" | "volumes", column: "disk_bytes" | "used_bytes") => {
    return async (bytes: ReadonlyMap<string, number>): Promise<void> => {
      if (bytes.size === 0) return;
      await read(() =>
        drizzle.execute(sql`
          update ${sql.identifier(table)} set ${sql.identifier(column)} = measured.bytes
          from unnest(${sql.param([...bytes.keys()])}::text[], ${sql.param([...bytes.values()])}::bigint[])
            as measured (id, bytes)
          where ${sql.identifier(table)}.id = measured.id`),
      );
    };
  };

  return {
    countByState: async (nodeId) => {
      const rows = await read(() =>
        drizzle
          .select({ state: sandboxes.state, count: count() })
          .from(sandboxes)
          .where(and(eq(sandboxes.nodeId, nodeId), sql`${sandboxes.state} <> 'destroyed'`))
          .groupBy(sandboxes.state),
      );
      return Object.fromEntries(rows.map((row) => [row.state, row.count]));
    },
    metered: async (nodeId) => {
      const { id, machineId, startedAt } = sandboxes;
      const rows = await read(() =>
        drizzle
          .select({ id, machineId, startedAt })
          .from(sandboxes)
          .where(
            and(eq(sandboxes.nodeId, nodeId), eq(sandboxes.state, "running"), isNotNull(machineId)),
          ),
      );
      return rows.flatMap((row) =>
        row.machineId === null
          ? []
          : [{ id: row.id, machineId: row.machineId, startedAt: row.startedAt ?? undefined }],
      );
    },
    add: async (measured) => {
      if (measured.length > 0) await write(() => drizzle.execute(insertOf(measured)));
    },
    setDiskSizes: sizes("sandboxes", "disk_bytes"),
    setVolumeSizes: sizes("volumes", "used_bytes"),
    volumesOf: async (nodeId) => {
      const rows = await read(() =>
        drizzle.execute<{ id: string }>(
          sql`select id from volumes where node_id = ${nodeId} and deleted_at is null`,
        ),
      );
      return rows.rows.map(({ id }) => id);
    },
    history: (id, query) => history(connection, id, query),
    latest: (nodeId, since, limit) => latest(connection, nodeId, since, limit),
    bounds: () => usageBounds(connection),
    rollUp: (after, until) => rollUpUsage(connection, after, until),
    purge: (before) => dropOldUsage(connection, before),
  };
}

const COLUMNS = [
  ["sandboxId", "text"],
  ["at", "timestamptz"],
  ["cpuCores", "double precision"],
  ["memoryBytes", "bigint"],
  ["memoryLimitBytes", "bigint"],
  ["pids", "integer"],
  ["networkReceivedBytes", "bigint"],
  ["networkSentBytes", "bigint"],
  ["diskReadBytes", "bigint"],
  ["diskWrittenBytes", "bigint"],
  ["diskBytes", "bigint"],
] as const satisfies [keyof Usage, string][];

function insertOf(measured: readonly Usage[]) {
  const arrays = COLUMNS.map(([key, type]) => {
    const values = measured.map((each) => each[key] ?? null);
    return sql`${sql.param(values)}::${sql.raw(type)}[]`;
  });
  const names = COLUMNS.map(([key]) => sql.identifier(usageSamples[key].name));
  const list = sql.join(names, sql`, `);
  return sql`
    insert into usage_samples (step_seconds, ${list})
    select 0, measured.* from unnest(${sql.join(arrays, sql`, `)}) as measured (${list})
    where exists (select from sandboxes where id = measured.sandbox_id)
    on conflict do nothing`;
}

/** Bytes are strings to the driver, which knows no whole numbers of that size. */
function toSample(row: Record<string, unknown>): UsageSample {
  const numberOf = (key: string): number => Number(row[key]);
  return {
    at: new Date(numberOf("at")),
    cpuCores: numberOf("cpuCores"),
    memoryBytes: numberOf("memoryBytes"),
    memoryLimitBytes: numberOf("memoryLimitBytes"),
    pids: numberOf("pids"),
    networkReceivedBytes: numberOf("networkReceivedBytes"),
    networkSentBytes: numberOf("networkSentBytes"),
    diskReadBytes: numberOf("diskReadBytes"),
    diskWrittenBytes: numberOf("diskWrittenBytes"),
    diskBytes: row["diskBytes"] === null ? undefined : numberOf("diskBytes"),
  };
}

async function history(
  { drizzle, read }: Connection,
  id: SandboxId,
  query: UsageQuery,
): Promise<UsageSample[]> {
  const { from, to, stepSeconds, intervalSeconds } = query;
  const needsMinutes = stepSeconds >= 60 || !isMeasured(from);
  const rows = await read(() =>
    drizzle.execute(sql`
      with rolled_up as (
        select coalesce(max(at), '-infinity') as until from usage_samples
        where sandbox_id = ${id} and step_seconds = 60
      ), sample as (
        select *, case step_seconds when 0 then ${intervalSeconds}::integer else step_seconds end as seconds
        from usage_samples, rolled_up
        where sandbox_id = ${id} and at > ${from}::timestamptz and at <= ${to}::timestamptz
          and case ${needsMinutes}::boolean
            when true then step_seconds = 60 or (step_seconds = 0 and at > until)
            else step_seconds = 0 end
      )
      select
        (ceil(extract(epoch from at) / ${stepSeconds}::integer) * ${stepSeconds}::integer * 1000)::double precision as "at",
        sum(cpu_cores * seconds) / sum(seconds) as "cpuCores",
        max(memory_bytes) as "memoryBytes", max(memory_limit_bytes) as "memoryLimitBytes",
        max(pids) as "pids",
        max(network_received_bytes) as "networkReceivedBytes",
        max(network_sent_bytes) as "networkSentBytes",
        max(disk_read_bytes) as "diskReadBytes", max(disk_written_bytes) as "diskWrittenBytes",
        max(disk_bytes) as "diskBytes"
      from sample group by 1 order by 1 limit ${LIMITS.usagePoints.value + 1}`),
  );
  return rows.rows.map(toSample);
}

/** Whoever asks for the last hour does so a moment after it. */
const ASKED_MS = 30_000;

/** Whether what was measured from an instant on is still there as it was measured. */
export const isMeasured = (from: Date): boolean =>
  from.getTime() >= Date.now() - LIMITS.usageRawMs.value - ASKED_MS;

async function latest(
  { drizzle, read }: Connection,
  nodeId: string,
  since: Date,
  limit: number,
): Promise<Usage[]> {
  const rows = await read(() =>
    drizzle
      .selectDistinctOn([usageSamples.sandboxId], {
        sample: usageSamples,
        size: sandboxes.diskBytes,
      })
      .from(usageSamples)
      .innerJoin(sandboxes, eq(sandboxes.id, usageSamples.sandboxId))
      .where(
        and(
          eq(usageSamples.stepSeconds, 0),
          sql`${usageSamples.at} > ${since}`,
          eq(sandboxes.nodeId, nodeId),
          eq(sandboxes.state, "running"),
        ),
      )
      .orderBy(usageSamples.sandboxId, sql`${usageSamples.at} desc`)
      .limit(limit),
  );
  return rows.map(({ sample, size }) => {
    const { stepSeconds: _, ...usage } = withoutNulls(sample);
    return { ...usage, diskBytes: usage.diskBytes ?? size ?? undefined };
  });
}
