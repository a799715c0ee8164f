/**
 * What the kernel accounts to this machine. Inside a cgroup namespace the machine's own group is the
 * root of what it sees; without one, /proc/self/cgroup says where below the mount it is.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const MOUNT = "/sys/fs/cgroup";
const NANOSECONDS_PER_MS = 1e6;
const MICROSECONDS_PER_MS = 1e3;

export interface GroupUsage {
  cpuMs?: number;
  /** Cores that may be used at once. */
  cpuCores?: number;
  memoryBytes?: number;
  memoryLimitBytes?: number;
  processes?: number;
}

async function firstText(paths: string[]): Promise<string | undefined> {
  for (const path of paths) {
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text !== undefined) return text.trim();
  }
  return undefined;
}

/** "max", and the near 2^63 that version 1 says for it, are no limit. */
function amount(text: string | undefined): number | undefined {
  const value = Number(text ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 && value < Number.MAX_SAFE_INTEGER
    ? value
    : undefined;
}

const field = (text: string | undefined, name: string): number | undefined =>
  amount(new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1]);

const divided = (value: number | undefined, by: number | undefined): number | undefined =>
  value === undefined || by === undefined || by === 0 ? undefined : value / by;

/** The group of one controller ("" in version 2), as /proc/self/cgroup has it. */
export function groupPath(list: string, controller: string): string | undefined {
  for (const line of list.split("\n")) {
    const [, controllers = "", ...path] = line.split(":");
    if (controllers.split(",").includes(controller)) return path.join(":");
  }
  return undefined;
}

async function readVersion2(
  read: (name: string) => Promise<string | undefined>,
): Promise<GroupUsage> {
  const stat = await read("cpu.stat");
  const [quota, period] = (await read("cpu.max"))?.split(" ") ?? [];
  const memory = amount(await read("memory.current"));
  // Pages that only cache files are given back when somebody needs them.
  const cache = field(await read("memory.stat"), "inactive_file") ?? 0;
  return present({
    cpuMs: divided(field(stat, "usage_usec"), MICROSECONDS_PER_MS),
    cpuCores: divided(amount(quota), amount(period)),
    memoryBytes: memory === undefined ? undefined : Math.max(0, memory - cache),
    memoryLimitBytes: amount(await read("memory.max")),
    processes: amount(await read("pids.current")),
  });
}

async function readVersion1(
  read: (controller: string, name: string) => Promise<string | undefined>,
): Promise<GroupUsage> {
  const memory = amount(await read("memory", "memory.usage_in_bytes"));
  const cache = field(await read("memory", "memory.stat"), "total_inactive_file") ?? 0;
  return present({
    cpuMs: divided(amount(await read("cpuacct", "cpuacct.usage")), NANOSECONDS_PER_MS),
    cpuCores: divided(
      amount(await read("cpu", "cpu.cfs_quota_us")),
      amount(await read("cpu", "cpu.cfs_period_us")),
    ),
    memoryBytes: memory === undefined ? undefined : Math.max(0, memory - cache),
    memoryLimitBytes: amount(await read("memory", "memory.limit_in_bytes")),
    processes: amount(await read("pids", "pids.current")),
  });
}

function present(usage: { [Name in keyof GroupUsage]: number | undefined }): GroupUsage {
  return Object.fromEntries(Object.entries(usage).filter(([, value]) => value !== undefined));
}

/** What can be read; fields that this machine does not show are absent. */
export async function readGroupUsage(mount: string = MOUNT): Promise<GroupUsage> {
  const list = (await firstText(["/proc/self/cgroup"])) ?? "";
  const candidates = (directory: string, controller: string, name: string): string[] => [
    join(directory, groupPath(list, controller) ?? "", name),
    join(directory, name),
  ];
  const isVersion2 = (await firstText([join(mount, "cgroup.controllers")])) !== undefined;
  if (isVersion2) return readVersion2((name) => firstText(candidates(mount, "", name)));
  return readVersion1((controller, name) =>
    firstText(candidates(join(mount, controller), controller, name)),
  );
}
