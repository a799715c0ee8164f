/**
 * Machines as trees of processes in namespaces of their own, made by bubblewrap. Everything known
 * about a machine is on disk (machine-record.ts) and in the kernel; what this class remembers is
 * only which ends it waits for.
 */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { InsienError, LIMITS, type MachineId } from "@insien/protocol";
import type {
  AgentKit,
  CallOptions,
  Machine,
  MachineEvent,
  MachineLimits,
  MachineSpec,
  Meter,
  PreparedTemplate,
  Runtime,
  RuntimeCapabilities,
  Template,
  VolumeMount,
  VolumeStore,
} from "@insien/runtime";
import { ExitWatch } from "./exit-watch.ts";
import { exitReason } from "./exit-reason.ts";
import { detachNetwork, launch, networkFor, type Launched } from "./launch.ts";
import { endProcesses, processesOf } from "./machine-end.ts";
import { machineOf, MachineStore, type MachineRecord } from "./machine-record.ts";
import { ended, isAlive, signalProcess } from "./process-identity.ts";
import { removeTree } from "./removal.ts";
import { prepareSurroundings, type Surroundings } from "./surroundings.ts";
import { ProcessMeter } from "./process-meter.ts";
import { UserPool } from "./users.ts";
import { VolumeDirectories } from "./volume-directories.ts";

export interface BubblewrapOptions {
  ownerId: string;
  kit: AgentKit;
  /** For machines' files and records; made when absent. */
  dataDirectory: string;
}

/** Makes machines with bubblewrap. Looks at nothing yet: `capabilities` does. */
export const createBubblewrapRuntime = (options: BubblewrapOptions): Runtime =>
  new BubblewrapRuntime(options);

/** For bwrap to note its child's exit code after the child is gone. */
const EXIT_CODE_MS = 1_000;
const LOG_LOOK_MS = 5_000;

class BubblewrapRuntime implements Runtime {
  readonly name = "bubblewrap";
  readonly #options: BubblewrapOptions;
  readonly #store: MachineStore;
  readonly #users: UserPool;
  readonly #exits = new ExitWatch((machineId) => this.#onEnd(machineId));
  /** Machines that are not to be seen yet. */
  readonly #starting = new Set<MachineId>();
  readonly volumes: VolumeStore;
  readonly meter: Meter;
  readonly #volumes: VolumeDirectories;
  /** Machines that are being started anew by this instance: to others they are what they were. */
  readonly #remounting = new Map<MachineId, Machine>();
  #surroundings: Promise<Surroundings> | undefined;
  #logTimer: NodeJS.Timeout | undefined;

  constructor(options: BubblewrapOptions) {
    this.#options = options;
    this.#store = new MachineStore(options.dataDirectory);
    this.#users = new UserPool(this.#store);
    const { dataDirectory, ownerId } = options;
    this.#volumes = new VolumeDirectories(dataDirectory, ownerId, () => this.#store.all());
    this.volumes = this.#volumeStore();
    this.meter = new ProcessMeter({
      read: (machineId) => this.#read(machineId),
      controlGroups: async () => (await this.#prepared()).host.controlGroups,
      directories: (machineId) => ["home", "tmp"].map((name) => this.#store.path(machineId, name)),
    });
  }

  #volumeStore(): VolumeStore {
    const directories = this.#volumes;
    return {
      create: (spec) => directories.create(spec),
      destroy: (volumeId) => directories.destroy(volumeId),
      list: () => directories.list(),
      sizes: (volumeIds, options) => directories.sizes(volumeIds, options),
      remount: (machineId, mounts, options) => this.#remount(machineId, mounts, options),
    };
  }

  /** Mounts are made when a machine starts, so one that runs is started again. */
  async #remount(
    machineId: MachineId,
    mounts: readonly VolumeMount[],
    options: CallOptions & { graceMs?: number } = {},
  ): Promise<{ restarted: boolean }> {
    const before = await this.#mustRead(machineId);
    await this.#volumes.mustHave(mounts);
    if (JSON.stringify(before.volumes ?? []) === JSON.stringify(mounts))
      return { restarted: false };
    const machine = await this.#settle(before);
    const running = machine.state === "running";
    this.#remounting.set(machineId, machine);
    try {
      if (running) await this.stop(machineId, options);
      await this.#changeVolumes(machineId, mounts);
      if (running) await this.start(machineId, options);
      return { restarted: running };
    } catch (cause) {
      await this.#changeVolumes(machineId, before.volumes ?? []);
      if (running) await this.start(machineId);
      options.signal?.throwIfAborted();
      const message = `Machine ${machineId} cannot be given these volumes: ${String(cause)}`;
      throw new InsienError("volume_failed", message, { cause });
    } finally {
      this.#remounting.delete(machineId);
    }
  }

  async #changeVolumes(machineId: MachineId, volumes: readonly VolumeMount[]): Promise<void> {
    await this.#store.write({ ...(await this.#mustRead(machineId)), volumes });
  }

  async capabilities(): Promise<RuntimeCapabilities> {
    return (await this.#prepared()).host.capabilities;
  }

  async prepare(template: Template): Promise<PreparedTemplate> {
    const { fingerprint } = await this.#prepared();
    return { ...template, fingerprint };
  }

  async create(spec: MachineSpec, { signal }: CallOptions = {}): Promise<Machine> {
    signal?.throwIfAborted();
    const existing = await this.inspect(spec.machineId);
    if (existing !== undefined) return existing;
    await this.#mustOffer(spec.network);
    await this.#volumes.mustHave(spec.volumes ?? []);
    if (spec.gpu !== undefined) {
      const message = `Machine ${spec.machineId} asks for GPUs, which bubblewrap cannot give: use Docker`;
      throw new InsienError("capability_missing", message);
    }
    await access(join(spec.lineDirectory, "token")).catch((cause: unknown) => {
      const message = `Machine ${spec.machineId} has no line at ${spec.lineDirectory}`;
      throw new InsienError("create_failed", message, { cause });
    });
    const record = await this.#newRecord(spec);
    this.#starting.add(spec.machineId);
    try {
      await this.#store.make(record);
      return machineOf(await this.#run(record, signal), "running");
    } catch (cause) {
      await this.#remove(record);
      signal?.throwIfAborted();
      if (cause instanceof InsienError) throw cause;
      const message = `Machine ${spec.machineId} could not be made: ${String(cause)}`;
      throw new InsienError("create_failed", message, { cause });
    } finally {
      this.#starting.delete(spec.machineId);
    }
  }

  async inspect(machineId: MachineId): Promise<Machine | undefined> {
    const remounting = this.#remounting.get(machineId);
    if (remounting !== undefined) return remounting;
    const record = await this.#read(machineId);
    return record === undefined ? undefined : await this.#settle(record);
  }

  async list(): Promise<Machine[]> {
    const machineIds = await this.#store.machineIds();
    const machines = await Promise.all(machineIds.map((machineId) => this.inspect(machineId)));
    return machines.filter((machine) => machine !== undefined);
  }

  async update(
    machineId: MachineId,
    changes: { limits?: MachineLimits; network?: "none" | "internet" },
  ): Promise<void> {
    let record = await this.#mustRead(machineId);
    if (changes.limits !== undefined) {
      record = { ...record, limits: changes.limits };
      await this.#changeLimits(record, changes.limits);
    }
    if (changes.network !== undefined && changes.network !== record.network) {
      await this.#mustOffer(changes.network);
      record = await this.#changeNetwork({ ...record, network: changes.network });
    }
    await this.#store.write(record);
  }

  async stop(
    machineId: MachineId,
    options: CallOptions & { graceMs?: number } = {},
  ): Promise<void> {
    const record = await this.#mustRead(machineId);
    options.signal?.throwIfAborted();
    this.#exits.forget(machineId);
    const { exitReason: _, ...rest } = record;
    await this.#store.write({ ...rest, wanted: "stopped" });
    const { host } = await this.#prepared();
    const first = (await processesOf(this.#store, record))?.first;
    if (first !== undefined) {
      signalProcess(first, "SIGTERM");
      await ended([first], options.graceMs ?? LIMITS.killGraceMs.value);
    }
    await endProcesses(this.#store, record, host.controlGroups);
  }

  async start(machineId: MachineId, { signal }: CallOptions = {}): Promise<void> {
    const before = await this.#mustRead(machineId);
    if ((await this.#settle(before)).state === "running") return;
    const { exitReason: _, processes: __, ...rest } = before;
    const record: MachineRecord = { ...rest, wanted: "running" };
    this.#starting.add(machineId);
    try {
      const { host } = await this.#prepared();
      await endProcesses(this.#store, before, host.controlGroups);
      await this.#run(record, signal);
    } catch (error) {
      const { host } = await this.#prepared();
      await endProcesses(this.#store, record, host.controlGroups);
      await this.#store.write({ ...rest, wanted: "stopped" });
      throw error;
    } finally {
      this.#starting.delete(machineId);
    }
  }

  async destroy(machineId: MachineId): Promise<boolean> {
    const record = await this.#read(machineId);
    if (record === undefined) return false;
    this.#exits.forget(machineId);
    await this.#remove(record);
    this.#exits.tell({ type: "removed", machineId });
    return true;
  }

  async *watch({ signal }: { signal: AbortSignal }): AsyncIterable<MachineEvent> {
    // A look at every machine is what makes their ends known from now on.
    void this.list().catch(() => undefined);
    yield* this.#exits.events(signal);
  }

  /** Machines live on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#exits[Symbol.dispose]();
    clearInterval(this.#logTimer);
    await Promise.resolve();
  }

  #prepared(): Promise<Surroundings> {
    this.#surroundings ??= this.#prepare().catch((error: unknown) => {
      // What was missing may be there at the next try.
      this.#surroundings = undefined;
      throw error;
    });
    return this.#surroundings;
  }

  async #prepare(): Promise<Surroundings> {
    const { dataDirectory, kit } = this.#options;
    const surroundings = await prepareSurroundings(dataDirectory, kit.hash);
    await Promise.all((await this.#store.remains()).map(removeTree));
    this.#logTimer = setInterval(() => void this.#store.boundLogs(), LOG_LOOK_MS).unref();
    return surroundings;
  }

  async #newRecord(spec: MachineSpec): Promise<MachineRecord> {
    const { host } = await this.#prepared();
    const { machineId, template, labels, limits, network, lineDirectory } = spec;
    const hostUid = host.root === undefined ? undefined : await this.#users.take(machineId);
    return {
      ownerId: this.#options.ownerId,
      machineId,
      templateName: template.name,
      fingerprint: template.fingerprint,
      labels,
      createdAt: new Date().toISOString(),
      limits,
      network,
      lineDirectory,
      ...(spec.volumes === undefined ? {} : { volumes: spec.volumes }),
      ...(hostUid === undefined ? {} : { hostUid }),
      wanted: "running",
    };
  }

  /** Starts the processes of a machine whose files are there, and writes down which they are. */
  async #run(record: MachineRecord, signal: AbortSignal | undefined): Promise<MachineRecord> {
    const surroundings = await this.#prepared();
    const { controlGroups } = surroundings.host;
    await controlGroups?.make(record.machineId, record.limits);
    await this.#store.write(record);
    const context = {
      ...surroundings,
      store: this.#store,
      kit: this.#options.kit,
      volumes: this.#volumes,
    };
    const launched = await launch(context, record, signal);
    const running = { ...record, processes: launched.processes };
    await this.#store.write(running);
    this.#follow(running, launched);
    return running;
  }

  #follow({ machineId }: MachineRecord, { child, processes }: Launched): void {
    this.#exits.expect(machineId, processes.first);
    const onExit = () => void this.#exits.lookAt(machineId, processes.first);
    if (child.exitCode === null && child.signalCode === null) child.once("exit", onExit);
    else onExit();
  }

  /** The machine as it is now; an end that nobody has noted yet is noted. */
  async #settle(record: MachineRecord): Promise<Machine> {
    const processes = await processesOf(this.#store, record);
    if (processes !== undefined && isAlive(processes.first)) {
      this.#exits.poll(record.machineId, processes.first);
      return machineOf(record, "running");
    }
    if (record.wanted === "stopped") return machineOf(record, "stopped");
    if (record.exitReason !== undefined) return machineOf(record, "exited");
    return machineOf(await this.#noteExit(record), "exited");
  }

  async #noteExit(record: MachineRecord): Promise<MachineRecord> {
    const { host } = await this.#prepared();
    const { machineId, processes } = record;
    if (processes !== undefined) await ended([processes.monitor], EXIT_CODE_MS);
    const kills = (await host.controlGroups?.outOfMemoryKills(machineId)) ?? 0;
    const reason = exitReason(record, await this.#store.status(machineId), kills);
    const exited = { ...record, exitReason: reason };
    await endProcesses(this.#store, record, host.controlGroups);
    // It may have been destroyed or started again meanwhile; then this end is no longer news.
    const current = await this.#store.read(machineId);
    if (current?.processes?.first.pid === processes?.first.pid && current?.wanted === "running") {
      await this.#store.write(exited).catch(() => undefined);
    }
    return exited;
  }

  async #onEnd(machineId: MachineId): Promise<void> {
    const record = await this.#read(machineId);
    if (record === undefined || record.wanted === "stopped") return;
    const { state, exitReason: reason } = await this.#settle(record);
    if (state !== "exited" || reason === undefined) return;
    this.#exits.tell({ type: "exited", machineId, reason });
  }

  async #remove(record: MachineRecord): Promise<void> {
    const { host } = await this.#prepared();
    await endProcesses(this.#store, record, host.controlGroups);
    await host.controlGroups?.remove(record.machineId);
    const remains = await this.#store.detach(record.machineId).catch(() => undefined);
    if (remains !== undefined) await removeTree(remains);
    if (record.hostUid !== undefined) await this.#users.free(record.hostUid);
  }

  async #changeLimits(record: MachineRecord, limits: MachineLimits): Promise<void> {
    const { host } = await this.#prepared();
    if (host.controlGroups === undefined) {
      const message =
        "Limits of a running machine can only be changed where control groups hold them";
      throw new InsienError("capability_missing", message);
    }
    await host.controlGroups.change(record.machineId, limits).catch((cause: unknown) => {
      const message = `Machine ${record.machineId} cannot take these limits: ${String(cause)}`;
      throw new InsienError("conflict", message, { cause });
    });
  }

  async #changeNetwork(record: MachineRecord): Promise<MachineRecord> {
    const { host } = await this.#prepared();
    const { processes } = record;
    if (processes === undefined || !isAlive(processes.first)) return record;
    const { network: attached, ...rest } = processes;
    if (attached !== undefined) await detachNetwork(host, record, processes);
    const network = await networkFor(host, record, processes.monitor);
    return { ...record, processes: { ...rest, ...(network === undefined ? {} : { network }) } };
  }

  async #mustOffer(network: "none" | "internet"): Promise<void> {
    const { capabilities } = (await this.#prepared()).host;
    if (capabilities.networks.includes(network)) return;
    const why = capabilities.notes.find((note) => note.includes("internet")) ?? "";
    throw new InsienError(
      "capability_missing",
      `Machines here have no network "${network}". ${why}`,
    );
  }

  async #read(machineId: MachineId): Promise<MachineRecord | undefined> {
    if (this.#starting.has(machineId)) return undefined;
    const record = await this.#store.read(machineId);
    return record?.ownerId === this.#options.ownerId ? record : undefined;
  }

  async #mustRead(machineId: MachineId): Promise<MachineRecord> {
    const record = await this.#read(machineId);
    if (record !== undefined) return record;
    throw new InsienError("machine_lost", `There is no machine ${machineId} on this host`);
  }
}
