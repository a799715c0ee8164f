/** Why a machine's first process ended, as a sentence. */
import { constants } from "node:os";
import type { BubblewrapStatus, MachineRecord } from "./machine-record.ts";
import { isOfEarlierBoot } from "./process-identity.ts";

/** bwrap reports an end by a signal as shells do. */
const SIGNAL_BASE = 128;

export function exitReason(
  record: MachineRecord,
  status: BubblewrapStatus,
  outOfMemoryKills: number,
): string {
  const { processes } = record;
  if (processes === undefined) return "its start was interrupted";
  if (isOfEarlierBoot(processes.first)) return "the host was restarted";
  if (status.exitCode === undefined) {
    return "ended for an unknown reason: bwrap was killed before it could note the exit code";
  }
  const signal = status.exitCode - SIGNAL_BASE;
  if (signal === constants.signals.SIGKILL && outOfMemoryKills > 0) return "killed: out of memory";
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  if (name !== undefined) return `agent was killed by ${name}`;
  return `agent exited with code ${status.exitCode}`;
}
