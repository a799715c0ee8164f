/** One hierarchy per controller, as hosts had them before 2020 and some still have. */
import { mkdir, readFile } from "node:fs/promises";
import { access } from "node:fs/promises";
import type { MachineId } from "@insien/protocol";
import type { MachineLimits } from "@insien/runtime";
import type { GroupDirectories } from "@insien/runtime/usage";
import {
  canMakeGroups,
  counter,
  CPU_PERIOD_MICROSECONDS,
  cpuQuotaMicroseconds,
  groupProcesses,
  pidsMaximum,
  removeGroup,
  writeValue,
  type ControlGroups,
} from "./control-groups.ts";

type Controller = "memory" | "cpu" | "pids" | "cpuacct" | "blkio";
const LIMITING: readonly Controller[] = ["memory", "cpu", "pids"];
/** The last two limit nothing, and count. */
const CONTROLLERS: readonly Controller[] = [...LIMITING, "cpuacct", "blkio"];

export async function findVersion1(): Promise<ControlGroups | undefined> {
  const parents = new Map<Controller, string>();
  for (const [controller, mountPoint] of await mountPoints()) {
    const parent = `${mountPoint}/insien`;
    if (await canMakeGroups(parent)) parents.set(controller, parent);
  }
  return LIMITING.some((controller) => parents.has(controller)) ? new Version1(parents) : undefined;
}

async function mountPoints(): Promise<Map<Controller, string>> {
  const found = new Map<Controller, string>();
  const mounts = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  for (const line of mounts.split("\n")) {
    const [place = "", system = ""] = line.split(" - ");
    const [type, , options = ""] = system.split(" ");
    const mountPoint = place.split(" ")[4];
    if (type !== "cgroup" || mountPoint === undefined) continue;
    for (const controller of CONTROLLERS) {
      if (options.split(",").includes(controller)) found.set(controller, mountPoint);
    }
  }
  return found;
}

class Version1 implements ControlGroups {
  readonly name = "cgroup v1";
  readonly holds: ControlGroups["holds"];
  readonly #parents: ReadonlyMap<Controller, string>;

  constructor(parents: ReadonlyMap<Controller, string>) {
    this.#parents = parents;
    this.holds = {
      memory: parents.has("memory"),
      cpu: parents.has("cpu"),
      pids: parents.has("pids"),
    };
  }

  async make(machineId: MachineId, limits: MachineLimits): Promise<void> {
    for (const directory of this.#directories(machineId)) {
      await mkdir(directory, { recursive: true });
    }
    await this.change(machineId, limits);
  }

  async change(machineId: MachineId, limits: MachineLimits): Promise<void> {
    const memory = this.#directory(machineId, "memory");
    const cpu = this.#directory(machineId, "cpu");
    const pids = this.#directory(machineId, "pids");
    if (memory !== undefined) await limitMemory(memory, limits.memoryBytes);
    if (cpu !== undefined) {
      await writeValue(`${cpu}/cpu.cfs_period_us`, CPU_PERIOD_MICROSECONDS);
      await writeValue(`${cpu}/cpu.cfs_quota_us`, cpuQuotaMicroseconds(limits));
    }
    if (pids !== undefined) await writeValue(`${pids}/pids.max`, pidsMaximum(limits));
  }

  joinFiles(machineId: MachineId): string[] {
    return this.#directories(machineId).map((directory) => `${directory}/cgroup.procs`);
  }

  view(machineId: MachineId): Array<{ from: string; to: string }> {
    return LIMITING.flatMap((controller) => {
      const from = this.#directory(machineId, controller);
      return from === undefined ? [] : [{ from, to: `/sys/fs/cgroup/${controller}` }];
    });
  }

  directories(machineId: MachineId): GroupDirectories | undefined {
    const [cpu, memory, pids, io] = (["cpuacct", "memory", "pids", "blkio"] as const).map((name) =>
      this.#directory(machineId, name),
    );
    if (cpu === undefined || memory === undefined || pids === undefined) return undefined;
    const directories = { cpu, memory, pids, ...(io === undefined ? {} : { io }) };
    return { version: 1, directories };
  }

  async outOfMemoryKills(machineId: MachineId): Promise<number> {
    const memory = this.#directory(machineId, "memory");
    return memory === undefined ? 0 : await counter(`${memory}/memory.oom_control`, "oom_kill");
  }

  async processes(machineId: MachineId): Promise<number[]> {
    const [directory] = this.#directories(machineId);
    return directory === undefined ? [] : await groupProcesses(directory);
  }

  async remove(machineId: MachineId): Promise<void> {
    await Promise.all(this.#directories(machineId).map(removeGroup));
  }

  #directory(machineId: MachineId, controller: Controller): string | undefined {
    const parent = this.#parents.get(controller);
    return parent === undefined ? undefined : `${parent}/${machineId}`;
  }

  /** Controllers mounted together share one directory. */
  #directories(machineId: MachineId): string[] {
    return [...new Set([...this.#parents.values()].map((parent) => `${parent}/${machineId}`))];
  }
}

/**
 * Memory and swap together may never be less than memory alone, so a raised limit is written from
 * the outside in and a lowered one from the inside out: whichever is refused first goes again.
 */
async function limitMemory(directory: string, bytes: number): Promise<void> {
  const memory = `${directory}/memory.limit_in_bytes`;
  const withSwap = `${directory}/memory.memsw.limit_in_bytes`;
  const swapCounted = await access(withSwap).then(
    () => true,
    () => false,
  );
  if (!swapCounted) return await writeValue(memory, bytes);
  const raised = await writeValue(withSwap, bytes).then(
    () => true,
    () => false,
  );
  await writeValue(memory, bytes);
  if (!raised) await writeValue(withSwap, bytes);
}
