import { readFile, readdir } from "node:fs/promises";

/** The kernel's USER_HZ, which is 100 on every processor Linux still runs on. */
const TICK_MS = 10;
const PAGE_BYTES = 4096;
/** Positions behind the closing bracket of the name in /proc/<pid>/stat. */
const FIELDS = {
  userTicks: 11,
  systemTicks: 12,
  childUserTicks: 13,
  childSystemTicks: 14,
  pages: 21,
};

interface ProcessSum {
  cpuMs: number;
  memoryBytes: number;
  processes: number;
}

function addProcess(sum: ProcessSum, stat: string): void {
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const at = (position: number): number => fields[position] ?? 0;
  const { userTicks, systemTicks, childUserTicks, childSystemTicks, pages } = FIELDS;
  const ticks = at(userTicks) + at(systemTicks) + at(childUserTicks) + at(childSystemTicks);
  sum.cpuMs += ticks * TICK_MS;
  sum.memoryBytes += at(pages) * PAGE_BYTES;
  sum.processes += 1;
}

/** All processes that are to be seen; shared pages count for each of them. */
export async function sumProcesses(): Promise<ProcessSum> {
  const sum: ProcessSum = { cpuMs: 0, memoryBytes: 0, processes: 0 };
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
    if (stat !== undefined) addProcess(sum, stat);
  }
  return sum;
}
