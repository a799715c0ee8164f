/**
 * What a group of processes uses, read from the kernel's own files: control groups of either
 * version, and the network namespace of its first process. Reading is synchronous on purpose: these
 * files are answered from memory within microseconds, and a detour over a thread costs ten times that.
 */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { MachineUsage } from "./facets.ts";

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;

export type GroupController = "cpu" | "memory" | "pids" | "io";

/** Where the files of one group are; a controller that does not count it has no directory. */
export interface GroupDirectories {
  version: 1 | 2;
  directories: Partial<Record<GroupController, string>>;
}

/** A mounted hierarchy: `root` is what of it is to be seen there. */
interface Hierarchy {
  mountPoint: string;
  root: string;
}

interface Hierarchies {
  version1: Map<string, Hierarchy>;
  version2: Hierarchy | undefined;
}

/** By the names that version 1 has for them. */
const VERSION_1_NAMES: Record<GroupController, string> = {
  cpu: "cpuacct",
  memory: "memory",
  pids: "pids",
  io: "blkio",
};
const CONTROLLERS = Object.keys(VERSION_1_NAMES) as GroupController[];

/** The control groups that this process sees. */
export class ControlGroupView {
  readonly #hierarchies: Hierarchies = mountedHierarchies();

  /**
   * The groups that a process is in, as far as all of them have `marker` in their path: a group
   * shared with others says nothing of it. `undefined` when none is to be seen.
   */
  groupsOf(pid: number, marker: string): GroupDirectories | undefined {
    const paths = groupPaths(pid);
    const { version1, version2 } = this.#hierarchies;
    const place = (hierarchy: Hierarchy | undefined, path: string | undefined) =>
      hierarchy === undefined || path === undefined || !path.includes(marker)
        ? undefined
        : directoryOf(hierarchy, path);
    const directories: GroupDirectories["directories"] = {};
    for (const controller of CONTROLLERS) {
      const name = VERSION_1_NAMES[controller];
      const directory = place(version1.get(name), paths.get(name));
      if (directory !== undefined) directories[controller] = directory;
    }
    if (directories.memory !== undefined) return { version: 1, directories };
    const unified = place(version2, paths.get(""));
    return unified === undefined || version1.has("memory")
      ? undefined
      : { version: 2, directories: unifiedDirectories(unified) };
  }
}

/** Of version 2, where one directory has the files of all controllers. */
export const unifiedDirectories = (directory: string): GroupDirectories["directories"] => ({
  cpu: directory,
  memory: directory,
  pids: directory,
  io: directory,
});

/** What the groups have counted. `undefined` when they are gone. */
export function readGroups(
  groups: GroupDirectories,
): Omit<MachineUsage, "at" | "networkReceivedBytes" | "networkSentBytes"> | undefined {
  const { directories } = groups;
  return groups.version === 1 ? readVersion1(directories) : readVersion2(directories);
}

function readVersion1(directories: GroupDirectories["directories"]) {
  const file = (controller: GroupController, name: string) =>
    read(directories[controller], `${VERSION_1_NAMES[controller]}.${name}`);
  const memory = file("memory", "usage_in_bytes");
  if (directories.memory !== undefined && memory === "") return undefined;
  const io = file("io", "throttle.io_service_bytes");
  return {
    cpuSeconds: Number(file("cpu", "usage")) / NANOSECONDS,
    memoryBytes: inUse(memory, counterOf(file("memory", "stat"), "total_inactive_file")),
    memoryLimitBytes: limitOf(file("memory", "limit_in_bytes")),
    pids: Number(file("pids", "current")),
    diskReadBytes: sumOf(io, /^\d+:\d+ Read (\d+)$/gm),
    diskWrittenBytes: sumOf(io, /^\d+:\d+ Write (\d+)$/gm),
    outOfMemoryKills: counterOf(file("memory", "oom_control"), "oom_kill"),
  };
}

function readVersion2(directories: GroupDirectories["directories"]) {
  const file = (controller: GroupController, name: string) => read(directories[controller], name);
  const cpu = file("cpu", "cpu.stat");
  if (cpu === "") return undefined;
  const io = file("io", "io.stat");
  const inactive = counterOf(file("memory", "memory.stat"), "inactive_file");
  return {
    cpuSeconds: counterOf(cpu, "usage_usec") / MICROSECONDS,
    memoryBytes: inUse(file("memory", "memory.current"), inactive),
    memoryLimitBytes: limitOf(file("memory", "memory.max")),
    pids: Number(file("pids", "pids.current")),
    diskReadBytes: sumOf(io, /\brbytes=(\d+)/g),
    diskWrittenBytes: sumOf(io, /\bwbytes=(\d+)/g),
    outOfMemoryKills: counterOf(file("memory", "memory.events"), "oom_kill"),
  };
}

/** Bytes through all interfaces but loopback of the network namespace that the process is in. */
export function readNetwork(pid: number): { received: number; sent: number } {
  const totals = { received: 0, sent: 0 };
  for (const line of read(`/proc/${pid}/net`, "dev").split("\n").slice(2)) {
    const [name = "", values = ""] = line.split(":");
    if (name.trim() === "lo" || values === "") continue;
    const fields = values.trim().split(/\s+/).map(Number);
    totals.received += fields[0] ?? 0;
    totals.sent += fields[8] ?? 0;
  }
  return totals;
}

/** The cache of files read once does not press anybody: the kernel drops it when memory is asked for. */
const inUse = (usage: string, inactive: number): number => Math.max(0, Number(usage) - inactive);

/** No limit is "max" or a number near the largest; the machine's is then the host's memory. */
function limitOf(text: string): number {
  const bytes = Number(text);
  return text === "" || Number.isNaN(bytes) ? totalmem() : Math.min(bytes, totalmem());
}

function counterOf(text: string, key: string): number {
  const match = new RegExp(`^${key} (\\d+)$`, "m").exec(text);
  return match === null ? 0 : Number(match[1]);
}

const sumOf = (text: string, pattern: RegExp): number =>
  text.matchAll(pattern).reduce((sum, [, digits]) => sum + Number(digits), 0);

/** Groups and processes end while they are looked at: what is gone is empty. */
function read(directory: string | undefined, name: string): string {
  if (directory === undefined) return "";
  try {
    return readFileSync(`${directory}/${name}`, "latin1").trimEnd();
  } catch {
    return "";
  }
}

/** Path in each hierarchy; version 2's has the empty name. */
function groupPaths(pid: number): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of read(`/proc/${pid}`, "cgroup").split("\n")) {
    const [, names = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    for (const name of names.split(",")) if (path !== "") paths.set(name, path);
  }
  return paths;
}

function directoryOf({ mountPoint, root }: Hierarchy, path: string): string | undefined {
  if (root === "/") return `${mountPoint}${path}`;
  return path.startsWith(`${root}/`) ? `${mountPoint}${path.slice(root.length)}` : undefined;
}

function mountedHierarchies(): Hierarchies {
  const version1 = new Map<string, Hierarchy>();
  let version2: Hierarchy | undefined;
  for (const line of read("/proc/self", "mountinfo").split("\n")) {
    const [place = "", system = ""] = line.split(" - ");
    const [, , , root = "", mountPoint = ""] = place.split(" ");
    const [type, , options = ""] = system.split(" ");
    if (type === "cgroup2") version2 ??= { mountPoint, root };
    if (type !== "cgroup") continue;
    for (const name of options.split(",")) version1.set(name, { mountPoint, root });
  }
  return { version1, version2 };
}
