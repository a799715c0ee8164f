/**
 * Which process a record means. Process numbers are used again; a number together with the moment
 * the process started (field 22 of /proc/PID/stat, in ticks since boot) and the boot is not.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface ProcessIdentity {
  pid: number;
  startTicks: number;
  bootId: string;
}

const STATE = 0;
const START_TIME = 19;
const bootId = readOrEmpty("/proc/sys/kernel/random/boot_id").trim();

/** The process that has this number now; `undefined` when there is none, or only its remains. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  // The name, in parentheses, may hold spaces and parentheses of its own.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[STATE];
  if (stat === "" || state === "Z" || state === "X") return undefined;
  return { pid, startTicks: Number(fields[START_TIME]), bootId };
}

export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== bootId) return false;
  return identify(identity.pid)?.startTicks === identity.startTicks;
}

/** The host itself was started again since. */
export const isOfEarlierBoot = (identity: ProcessIdentity): boolean => identity.bootId !== bootId;

/** Sends a signal unless the process is gone. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return;
  try {
    process.kill(identity.pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}

/** Whether all of them ended within the time. */
export async function ended(
  identities: readonly ProcessIdentity[],
  timeoutMs: number,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 20)) {
    if (!identities.some(isAlive)) return true;
    if (performance.now() >= deadline) return false;
    await sleep(pauseMs);
  }
}

/** The program that a process was started with, as it called itself. */
export const programOf = (pid: number): string =>
  readOrEmpty(`/proc/${pid}/cmdline`).split("\0")[0] ?? "";

/** Whether the process lives in the process namespace with this inode number. */
export function isInPidNamespace(pid: number, inode: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === `pid:[${inode}]`;
  } catch {
    return false;
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
