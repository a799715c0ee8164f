/** Limits by control groups: a group per machine, made before any of its code runs. */
import { mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { MachineId } from "@insien/protocol";
import type { MachineLimits } from "@insien/runtime";
import type { GroupDirectories } from "@insien/runtime/usage";

export interface ControlGroups {
  /** "cgroup v1" or "cgroup v2". */
  readonly name: string;
  readonly holds: { memory: boolean; cpu: boolean; pids: boolean };
  make(machineId: MachineId, limits: MachineLimits): Promise<void>;
  change(machineId: MachineId, limits: MachineLimits): Promise<void>;
  /** A process joins by writing its number into each of these. */
  joinFiles(machineId: MachineId): string[];
  /** Where the machine sees its own group, read-only, for programs that ask for their limits. */
  view(machineId: MachineId): Array<{ from: string; to: string }>;
  /** Where its use is counted; `undefined` when it is not. */
  directories(machineId: MachineId): GroupDirectories | undefined;
  /** How many of its processes the kernel killed for want of memory. */
  outOfMemoryKills(machineId: MachineId): Promise<number>;
  processes(machineId: MachineId): Promise<number[]>;
  remove(machineId: MachineId): Promise<void>;
}

/** The monitor and the user-mode network are in the group too; they are not the machine's own. */
const OWN_PROCESSES = 2;
const EMPTYING_MS = 5_000;

export const pidsMaximum = (limits: MachineLimits): number => limits.pids + OWN_PROCESSES;
export const CPU_PERIOD_MICROSECONDS = 100_000;
/** The kernel takes no quota below a millisecond. */
export const cpuQuotaMicroseconds = (limits: MachineLimits): number =>
  Math.max(1_000, Math.round(limits.cpu * CPU_PERIOD_MICROSECONDS));

/** Whether groups can be made below the directory, found out by making one. */
export async function canMakeGroups(parent: string): Promise<boolean> {
  const probe = `${parent}/probe-${process.pid}`;
  try {
    await mkdir(probe, { recursive: true });
    await rmdir(probe);
    return true;
  } catch {
    return false;
  }
}

export async function writeValue(path: string, value: number | string): Promise<void> {
  await writeFile(path, String(value), { flag: "w" });
}

export async function groupProcesses(directory: string): Promise<number[]> {
  const text = await readFile(`${directory}/cgroup.procs`, "utf8").catch(() => "");
  return text.split("\n").filter(Boolean).map(Number);
}

/** The number in the line `key number` of a file of such lines; 0 when there is none. */
export async function counter(path: string, key: string): Promise<number> {
  const text = await readFile(path, "utf8").catch(() => "");
  const line = text.split("\n").find((line) => line.startsWith(`${key} `));
  return line === undefined ? 0 : Number(line.slice(key.length + 1));
}

/** A group can only be removed once the last of its processes is gone, which takes a moment. */
export async function removeGroup(directory: string): Promise<void> {
  const deadline = performance.now() + EMPTYING_MS;
  for (;;) {
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
      if (performance.now() >= deadline) throw error;
    }
    await sleep(5);
  }
}
