import { LIMITS } from "@insien/protocol";
import type { UsageRows } from "../db/index.ts";

const PURGES_AT_ONCE = 50;
const MINUTE_MS = 60_000;
const LATE_MS = 3 * MINUTE_MS;

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
  await rollUp(usage, wholeMinute(now - settledMs), signal);
  const measured = new Date(now - LIMITS.usageRawMs.value);
  const minutes = new Date(now - retentionMs);
  for (let purge = 0; purge < PURGES_AT_ONCE; purge += 1) {
    signal.throwIfAborted();
    const removed = await usage.purge({ measured, minutes });
    if (removed < LIMITS.usagePurgeRows.value) break;
  }
}

async function rollUp(usage: UsageRows, until: number, signal: AbortSignal): Promise<void> {
  const { oldest, rolledUp } = await usage.bounds();
  if (oldest === undefined) return;
  // The last minutes are rolled up again: hosts' clocks differ, and what is slow comes late.
  const done = rolledUp === undefined ? 0 : rolledUp.getTime() - LATE_MS;
  let after = Math.max(wholeMinute(oldest.getTime() - 1), done);
  while (after < until) {
    signal.throwIfAborted();
    const next = Math.min(after + LIMITS.usageRollUpMs.value, until);
    await usage.rollUp(new Date(after), new Date(next));
    after = next;
  }
}

const wholeMinute = (instant: number): number => Math.floor(instant / MINUTE_MS) * MINUTE_MS;
