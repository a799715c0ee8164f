/**
 * What machines use. Where their control groups are visible to this process, one listing and a few
 * reads of files in memory answer for all of them; elsewhere the Engine is asked for each.
 */
import { setImmediate as otherWork } from "node:timers/promises";
import type { MachineId } from "@insien/protocol";
import type { CallOptions, MachineUsage, Meter } from "@insien/runtime";
import { ControlGroupView, readGroups, readNetwork } from "@insien/runtime/usage";
import type Docker from "dockerode";
import { imageIdOf } from "./container-options.ts";
import { isConflict, isNotFound, type Engine } from "./engine.ts";
import type { MachineContainers } from "./machine-containers.ts";
import { homeVolumeName, imageKind, LABELS } from "./machine-labels.ts";
import { bytesBelow } from "./volume-store.ts";

/** Read in one go before other work gets its turn. */
const BATCH = 16;
const QUESTIONS_AT_ONCE = 8;
const NANOSECONDS = 1e9;

export class ContainerMeter implements Meter {
  readonly #engine: Engine;
  readonly #containers: MachineContainers;
  /** Pids by container; one is believed while its control group is the container's. */
  readonly #pids = new Map<string, number>();
  #view: ControlGroupView | undefined;

  constructor(engine: Engine, containers: MachineContainers) {
    this.#engine = engine;
    this.#containers = containers;
  }

  async measure(
    machineIds: readonly MachineId[],
    { signal }: CallOptions = {},
  ): Promise<Map<MachineId, MachineUsage>> {
    signal?.throwIfAborted();
    const running = await this.#wanted(machineIds, { status: ["running"] });
    const usages = new Map<MachineId, MachineUsage>();
    const unknown: Array<[MachineId, string]> = [];
    let read = 0;
    for (const [machineId, { Id }] of running) {
      const usage = this.#read(Id);
      if (usage === undefined) unknown.push([machineId, Id]);
      else usages.set(machineId, usage);
      read += 1;
      if (read % BATCH === 0) await otherWork();
    }
    await atOnce(unknown, async ([machineId, containerId]) => {
      signal?.throwIfAborted();
      const usage = (await this.#learn(containerId)) ?? (await this.#ask(containerId));
      if (usage !== undefined) usages.set(machineId, usage);
    });
    const containerIds = new Set(running.values().map(({ Id }) => Id));
    for (const id of this.#pids.keys()) if (!containerIds.has(id)) this.#pids.delete(id);
    return usages;
  }

  async #wanted(
    machineIds: readonly MachineId[],
    filters: Record<string, string[]> = {},
  ): Promise<Map<MachineId, Docker.ContainerInfo>> {
    const wanted = new Set<string>(machineIds);
    const listed = await this.#containers.list(filters);
    const entries = listed.map(
      (container) => [container.Labels[LABELS.machine] as MachineId, container] as const,
    );
    return new Map(entries.filter(([machineId]) => wanted.has(machineId)));
  }

  #read(containerId: string): MachineUsage | undefined {
    const pid = this.#pids.get(containerId);
    if (pid === undefined) return undefined;
    this.#view ??= new ControlGroupView();
    const groups = this.#view.groupsOf(pid, containerId);
    const usage = groups === undefined ? undefined : readGroups(groups);
    if (usage === undefined) return undefined;
    const { received, sent } = readNetwork(pid);
    return { at: new Date(), ...usage, networkReceivedBytes: received, networkSentBytes: sent };
  }

  /** Finds the container's first process among those that this process sees, and reads. */
  async #learn(containerId: string): Promise<MachineUsage | undefined> {
    this.#pids.delete(containerId);
    const info = await this.#engine.ask("looking for a machine's process", () =>
      this.#engine.docker.getContainer(containerId).inspect(),
    );
    const pid = info?.State.Pid ?? 0;
    if (pid === 0) return undefined;
    this.#pids.set(containerId, pid);
    return this.#read(containerId);
  }

  async #ask(containerId: string): Promise<MachineUsage | undefined> {
    const container = this.#engine.docker.getContainer(containerId);
    const [stats, info] = await Promise.all([
      this.#engine.ask("asking for a machine's usage", () =>
        container.stats({ stream: false, "one-shot": true }),
      ),
      this.#engine.ask("looking for a machine", () => container.inspect()),
    ]);
    if (stats === undefined || info?.State.Running !== true) return undefined;
    return usageOf(stats, info.State.OOMKilled ? 1 : 0);
  }

  /** Docker walks the machines' files. What was kept of a machine made anew counts as well. */
  async diskSizes(
    machineIds: readonly MachineId[],
    { signal }: CallOptions = {},
  ): Promise<Map<MachineId, number>> {
    signal?.throwIfAborted();
    const wanted = await this.#wanted(machineIds);
    const sizes = new Map<MachineId, number>();
    await atOnce([...wanted], async ([machineId, container]) => {
      signal?.throwIfAborted();
      const bytes = await this.#diskSize(machineId, container, signal);
      if (bytes !== undefined) sizes.set(machineId, bytes);
    });
    return sizes;
  }

  async #diskSize(
    machineId: MachineId,
    container: Docker.ContainerInfo,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    const request = { all: true, size: true, filters: JSON.stringify({ id: [container.Id] }) };
    const [listed] = (await this.#engine.docker.listContainers(request)) as SizedContainer[];
    if (listed === undefined) return undefined;
    const { SizeRw = 0, SizeRootFs = 0, Labels, Mounts } = listed;
    const home = Mounts.find(({ Name }) => Name === homeVolumeName(machineId));
    const inHome = home === undefined ? 0 : ((await bytesBelow(home.Source, signal)) ?? 0);
    if (Labels[LABELS.image] !== imageKind.kept) return SizeRw + inHome;
    const image = this.#engine.docker.getImage(imageIdOf(Labels[LABELS.fingerprint] ?? ""));
    const template = await this.#engine.ask("looking for a template", () => image.inspect());
    return Math.max(SizeRw, SizeRootFs - (template?.Size ?? 0)) + inHome;
  }
}

/** What dockerode's types leave out: only with `size`. */
type SizedContainer = Docker.ContainerInfo & { SizeRw?: number; SizeRootFs?: number };

async function atOnce<Item>(
  items: readonly Item[],
  use: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const work = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      await use(item).catch((error: unknown) => {
        // It ended or was removed while it was looked at.
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    }
  };
  await Promise.all(Array.from({ length: QUESTIONS_AT_ONCE }, work));
}

/** The Engine's statistics, of either version of control groups, in our words. */
export function usageOf(stats: Docker.ContainerStats, outOfMemoryKills: number): MachineUsage {
  const { cpu_stats: cpu, memory_stats: memory, pids_stats: pids, blkio_stats: io } = stats;
  const counters = new Map<string, number>(Object.entries(memory.stats ?? {}));
  const inactive = counters.get("total_inactive_file") ?? counters.get("inactive_file") ?? 0;
  const transferred = (operation: string): number =>
    (io?.io_service_bytes_recursive ?? [])
      .filter(({ op }) => op.toLowerCase() === operation)
      .reduce((sum, { value }) => sum + value, 0);
  const networks = Object.values(stats.networks ?? {});
  return {
    at: new Date(),
    cpuSeconds: cpu.cpu_usage.total_usage / NANOSECONDS,
    memoryBytes: Math.max(0, (memory.usage ?? 0) - inactive),
    memoryLimitBytes: memory.limit ?? 0,
    pids: pids?.current ?? 0,
    networkReceivedBytes: networks.reduce((sum, { rx_bytes: bytes }) => sum + bytes, 0),
    networkSentBytes: networks.reduce((sum, { tx_bytes: bytes }) => sum + bytes, 0),
    diskReadBytes: transferred("read"),
    diskWrittenBytes: transferred("write"),
    outOfMemoryKills,
  };
}
