import { LIMITS } from "@insien/protocol";
import type { UsageRows } from "../db/index.ts";

const PURGES_AT_ONCE = 50;

export interface HistoryOptions {
  /** Of the rows of one minute each. */
  retentionMs: number;
  /** How long after a minute's end its measurements are taken to be complete. */
  settledMs: number;
  signal: AbortSignal;
}

/** Keeps measurements by the minute, and removes what is older than it is kept, in short statements. */
export async function keepHistory(usage: UsageRows, options: HistoryOptions): Promise<void> {
  const { retentionMs, settledMs, signal } = options;
  const now = Date.now();
  for (let minute = 0; minute < LIMITS.usageCatchUpMinutes.value; minute += 1) {
    signal.throwIfAborted();
    if (!(await usage.rollUpMinute(new Date(now - settledMs)))) break;
  }
  const measured = new Date(now - LIMITS.usageRawMs.value);
  const minutes = new Date(now - retentionMs);
  for (let purge = 0; purge < PURGES_AT_ONCE; purge += 1) {
    signal.throwIfAborted();
    const removed = await usage.purge({ measured, minutes });
    if (removed < LIMITS.usagePurgeRows.value) break;
  }
}
