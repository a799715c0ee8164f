/**
 * The unified hierarchy. Root makes its groups at the top; an ordinary user needs a group that was
 * delegated to it (`systemd-run --user --scope -p Delegate=yes`, or a service with `Delegate=yes`).
 */
import { access, mkdir, readFile } from "node:fs/promises";
import type { MachineId } from "@insien/protocol";
import type { MachineLimits } from "@insien/runtime";
import { type GroupDirectories, unifiedDirectories } from "@insien/runtime/usage";
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

/** `io` limits nothing, and counts. */
const WANTED = ["memory", "cpu", "pids", "io"];
const LIMITING = ["memory", "cpu", "pids"];

export async function findVersion2(): Promise<ControlGroups | undefined> {
  const mountPoint = await unifiedMountPoint();
  if (mountPoint === undefined) return undefined;
  for (const base of [mountPoint, `${mountPoint}${await ownGroup()}`]) {
    const parent = `${base}/insien`;
    if (!(await canMakeGroups(parent))) continue;
    await passControllersDown(base);
    await passControllersDown(parent);
    const enabled = await words(`${parent}/cgroup.subtree_control`);
    if (LIMITING.some((controller) => enabled.includes(controller))) {
      return new Version2(parent, enabled);
    }
  }
  return undefined;
}

async function unifiedMountPoint(): Promise<string | undefined> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8").catch(() => "");
  const line = mounts.split("\n").find((line) => line.includes(" - cgroup2 "));
  return line?.split(" ")[4];
}

async function ownGroup(): Promise<string> {
  const groups = await readFile("/proc/self/cgroup", "utf8").catch(() => "");
  return (
    groups
      .split("\n")
      .find((line) => line.startsWith("0::"))
      ?.slice("0::".length) ?? ""
  );
}

/**
 * A group either holds processes or passes controllers on. Where this process is in the group's
 * way it moves to a leaf beside the machines; other people's processes are left alone.
 */
async function passControllersDown(directory: string): Promise<void> {
  const available = await words(`${directory}/cgroup.controllers`);
  const enabled = await words(`${directory}/cgroup.subtree_control`);
  const missing = WANTED.filter((name) => available.includes(name) && !enabled.includes(name));
  if (missing.length === 0) return;
  const file = `${directory}/cgroup.subtree_control`;
  const enable = async (): Promise<boolean> => {
    const written = await Promise.allSettled(missing.map((name) => writeValue(file, `+${name}`)));
    return written.every(({ status }) => status === "fulfilled");
  };
  if (await enable()) return;
  if (!(await groupProcesses(directory)).includes(process.pid)) return;
  const leaf = `${directory}/insien-orchestrator`;
  await mkdir(leaf, { recursive: true });
  await writeValue(`${leaf}/cgroup.procs`, process.pid);
  await enable();
}

const words = async (path: string): Promise<string[]> =>
  (await readFile(path, "utf8").catch(() => "")).trim().split(" ");

class Version2 implements ControlGroups {
  readonly name = "cgroup v2";
  readonly holds: ControlGroups["holds"];
  readonly #parent: string;

  constructor(parent: string, controllers: readonly string[]) {
    this.#parent = parent;
    this.holds = {
      memory: controllers.includes("memory"),
      cpu: controllers.includes("cpu"),
      pids: controllers.includes("pids"),
    };
  }

  async make(machineId: MachineId, limits: MachineLimits): Promise<void> {
    await mkdir(this.#directory(machineId), { recursive: true });
    await this.change(machineId, limits);
  }

  async change(machineId: MachineId, limits: MachineLimits): Promise<void> {
    const directory = this.#directory(machineId);
    if (this.holds.memory) {
      await writeValue(`${directory}/memory.max`, limits.memoryBytes);
      const swap = `${directory}/memory.swap.max`;
      if (
        await access(swap).then(
          () => true,
          () => false,
        )
      )
        await writeValue(swap, 0);
    }
    if (this.holds.cpu) {
      const quota = `${cpuQuotaMicroseconds(limits)} ${CPU_PERIOD_MICROSECONDS}`;
      await writeValue(`${directory}/cpu.max`, quota);
    }
    if (this.holds.pids) await writeValue(`${directory}/pids.max`, pidsMaximum(limits));
  }

  joinFiles(machineId: MachineId): string[] {
    return [`${this.#directory(machineId)}/cgroup.procs`];
  }

  view(machineId: MachineId): Array<{ from: string; to: string }> {
    return [{ from: this.#directory(machineId), to: "/sys/fs/cgroup" }];
  }

  directories(machineId: MachineId): GroupDirectories {
    return { version: 2, directories: unifiedDirectories(this.#directory(machineId)) };
  }

  async outOfMemoryKills(machineId: MachineId): Promise<number> {
    return await counter(`${this.#directory(machineId)}/memory.events`, "oom_kill");
  }

  async processes(machineId: MachineId): Promise<number[]> {
    return await groupProcesses(this.#directory(machineId));
  }

  async remove(machineId: MachineId): Promise<void> {
    await removeGroup(this.#directory(machineId));
  }

  #directory(machineId: MachineId): string {
    return `${this.#parent}/${machineId}`;
  }
}
