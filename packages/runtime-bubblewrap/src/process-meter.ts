/** What machines use: by their control groups, or by adding up their processes where there are none. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { MachineId } from "@insien/protocol";
import type { CallOptions, MachineUsage, Meter } from "@insien/runtime";
import { readGroups, readNetwork } from "@insien/runtime/usage";
import type { ControlGroups } from "./control-groups/control-groups.ts";
import type { MachineProcesses, MachineRecord } from "./machine-record.ts";
import { isAlive } from "./process-identity.ts";
import { bytesBelow } from "./volume-directories.ts";

const PAGE_BYTES = 4096;
const TICKS_PER_SECOND = 100;

export interface MeterParts {
  /** This owner's machine of that id. */
  read: (machineId: MachineId) => Promise<MachineRecord | undefined>;
  controlGroups: () => Promise<ControlGroups | undefined>;
  /** Directories of a machine's own files. */
  directories: (machineId: MachineId) => string[];
}

export class ProcessMeter implements Meter {
  readonly #parts: MeterParts;

  constructor(parts: MeterParts) {
    this.#parts = parts;
  }

  async measure(
    machineIds: readonly MachineId[],
    { signal }: CallOptions = {},
  ): Promise<Map<MachineId, MachineUsage>> {
    const groups = await this.#parts.controlGroups();
    const usages = new Map<MachineId, MachineUsage>();
    let processes: ProcessTable | undefined;
    for (const machineId of machineIds) {
      signal?.throwIfAborted();
      const record = await this.#parts.read(machineId);
      if (record?.processes === undefined || !isAlive(record.processes.first)) continue;
      const counted = groups === undefined ? undefined : fromGroups(groups, record);
      processes ??= counted === undefined ? new ProcessTable() : undefined;
      const usage = counted ?? processes?.usageOf(record.processes.first.pid);
      if (usage === undefined) continue;
      const { received, sent } = readNetwork(record.processes.first.pid);
      usages.set(machineId, {
        at: new Date(),
        ...usage,
        memoryLimitBytes: record.limits.memoryBytes,
        networkReceivedBytes: received,
        networkSentBytes: sent,
      });
    }
    return usages;
  }

  async diskSizes(
    machineIds: readonly MachineId[],
    { signal }: CallOptions = {},
  ): Promise<Map<MachineId, number>> {
    const sizes = new Map<MachineId, number>();
    for (const machineId of machineIds) {
      signal?.throwIfAborted();
      if ((await this.#parts.read(machineId)) === undefined) continue;
      const bytes = await bytesBelow(this.#parts.directories(machineId));
      if (bytes !== undefined) sizes.set(machineId, bytes);
    }
    return sizes;
  }
}

type Counted = Omit<
  MachineUsage,
  "at" | "memoryLimitBytes" | "networkReceivedBytes" | "networkSentBytes"
>;

function fromGroups(groups: ControlGroups, { machineId, processes }: MachineRecord) {
  const directories = groups.directories(machineId);
  const usage = directories === undefined ? undefined : readGroups(directories);
  if (usage === undefined) return undefined;
  return { ...usage, pids: Math.max(0, usage.pids - helpers(processes)) };
}

/** bwrap itself and the user-mode network are in the machine's group, and not of it. */
const helpers = (processes: MachineProcesses | undefined): number =>
  processes?.network === undefined ? 1 : 2;

/** The processes of this host at one moment, by their pid namespace. */
class ProcessTable {
  readonly #members = new Map<string, number[]>();

  constructor() {
    for (const name of readdirSync("/proc")) {
      const pid = Number(name);
      const namespace = Number.isNaN(pid) ? undefined : namespaceOf(pid);
      if (namespace === undefined) continue;
      const members = this.#members.get(namespace) ?? [];
      members.push(pid);
      this.#members.set(namespace, members);
    }
  }

  usageOf(firstPid: number): Counted | undefined {
    const members = this.#members.get(namespaceOf(firstPid) ?? "");
    if (members === undefined) return undefined;
    const usage = { cpuTicks: 0, pages: 0, threads: 0, read: 0, written: 0 };
    for (const pid of members) {
      const stat = read(`/proc/${pid}/stat`);
      // After the name, which may hold anything, in parentheses.
      const fields = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .map(Number);
      const [utime = 0, stime = 0, childrenUtime = 0, childrenStime = 0] = fields.slice(11, 15);
      usage.cpuTicks += utime + stime;
      // Whatever has ended was waited for by a parent, in the end by the first process.
      usage.cpuTicks += childrenUtime + childrenStime;
      usage.threads += fields[17] ?? 0;
      usage.pages += Number(read(`/proc/${pid}/statm`).split(" ")[1] ?? 0);
      const io = read(`/proc/${pid}/io`);
      usage.read += Number(/^read_bytes: (\d+)$/m.exec(io)?.[1] ?? 0);
      usage.written += Number(/^write_bytes: (\d+)$/m.exec(io)?.[1] ?? 0);
    }
    return {
      cpuSeconds: usage.cpuTicks / TICKS_PER_SECOND,
      memoryBytes: usage.pages * PAGE_BYTES,
      pids: usage.threads,
      diskReadBytes: usage.read,
      diskWrittenBytes: usage.written,
      outOfMemoryKills: 0,
    };
  }
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** Processes end while they are looked at. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
