/** Measurements grow old: by the minute they are kept longer, and then not at all. */
import { LIMITS } from "@insien/protocol";
import { sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";

/** The minutes lie as the clock has them, so that two who do this at once make the same rows. */
export async function rollUpNextMinute(
  { drizzle, read }: Connection,
  before: Date,
): Promise<boolean> {
  const result = await read(() =>
    drizzle.execute(sql`
      with minute as (
        select date_trunc('minute', min(at) - interval '1 microsecond') as begins from usage_samples
        where step_seconds = 0 and at > (
          select coalesce(max(at), '-infinity') from usage_samples where step_seconds = 60)
      )
      insert into usage_samples (
        sandbox_id, step_seconds, at, cpu_cores, memory_bytes, memory_limit_bytes, pids,
        network_received_bytes, network_sent_bytes, disk_read_bytes, disk_written_bytes, disk_bytes)
      select sandbox_id, 60, minute.begins + interval '1 minute', avg(cpu_cores),
        max(memory_bytes), max(memory_limit_bytes), max(pids),
        max(network_received_bytes), max(network_sent_bytes),
        max(disk_read_bytes), max(disk_written_bytes), max(disk_bytes)
      from usage_samples, minute
      where step_seconds = 0
        and at > minute.begins and at <= minute.begins + interval '1 minute'
        and minute.begins + interval '1 minute' <= ${before}::timestamptz
      group by sandbox_id, minute.begins
      on conflict do nothing`),
  );
  return (result.rowCount ?? 0) > 0;
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
