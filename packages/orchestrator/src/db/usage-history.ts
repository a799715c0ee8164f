/** Measurements grow old: by the minute they are kept longer, and then not at all. */
import { LIMITS } from "@insien/protocol";
import { sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { usageSamples } from "./schema/usage.ts";

/** When the oldest measurement was made, and the end of the newest minute that was rolled up. */
export async function usageBounds({
  drizzle,
  read,
}: Connection): Promise<{ oldest: Date | undefined; rolledUp: Date | undefined }> {
  const [bounds] = await read(() =>
    drizzle
      .select({
        oldest:
          sql<Date | null>`(select min(at) from usage_samples where step_seconds = 0)`.mapWith(
            usageSamples.at,
          ),
        rolledUp:
          sql<Date | null>`(select max(at) from usage_samples where step_seconds = 60)`.mapWith(
            usageSamples.at,
          ),
      })
      .from(sql`(select) as one`),
  );
  return { oldest: bounds?.oldest ?? undefined, rolledUp: bounds?.rolledUp ?? undefined };
}

/**
 * The minutes lie as the clock has them, so that two who do this at once make the same rows, and
 * doing it again takes in what came late.
 */
export async function rollUpUsage(
  { drizzle, read }: Connection,
  after: Date,
  until: Date,
): Promise<void> {
  await read(() =>
    drizzle.execute(sql`
      insert into usage_samples (
        sandbox_id, step_seconds, at, cpu_cores, memory_bytes, memory_limit_bytes, pids,
        network_received_bytes, network_sent_bytes, disk_read_bytes, disk_written_bytes, disk_bytes)
      select sandbox_id, 60, to_timestamp(ceil(extract(epoch from at) / 60) * 60), avg(cpu_cores),
        max(memory_bytes), max(memory_limit_bytes), max(pids),
        max(network_received_bytes), max(network_sent_bytes),
        max(disk_read_bytes), max(disk_written_bytes), max(disk_bytes)
      from usage_samples
      where step_seconds = 0 and at > ${after}::timestamptz and at <= ${until}::timestamptz
      group by 1, 3
      on conflict (sandbox_id, step_seconds, at) do update set
        cpu_cores = excluded.cpu_cores, memory_bytes = excluded.memory_bytes,
        memory_limit_bytes = excluded.memory_limit_bytes, pids = excluded.pids,
        network_received_bytes = excluded.network_received_bytes,
        network_sent_bytes = excluded.network_sent_bytes,
        disk_read_bytes = excluded.disk_read_bytes,
        disk_written_bytes = excluded.disk_written_bytes, disk_bytes = excluded.disk_bytes`),
  );
}

export async function dropOldUsage(
  { drizzle, write }: Connection,
  before: { measured: Date; minutes: Date },
): Promise<number> {
  let removed = 0;
  for (const [step, instant] of [
    [0, before.measured],
    [60, before.minutes],
  ] as const) {
    const result = await write(() =>
      drizzle.execute(sql`
        delete from usage_samples where ctid = any(array(
          select ctid from usage_samples
          where step_seconds = ${step} and at < ${instant}::timestamptz
          limit ${LIMITS.usagePurgeRows.value}))`),
    );
    removed += result.rowCount ?? 0;
  }
  return removed;
}
