/**
 * Machines in memory, for tests of whoever drives a runtime. It keeps the interface's promises,
 * passes the conformance suite where no real processes are needed, and can be told to misbehave.
 */
import { access } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { InsienError, type MachineId } from "@insien/protocol";
import type { VolumeMount } from "./facets.ts";
import { FakeAgent } from "./fake-agent.ts";
import { type FakeVolume, FakeVolumeStore } from "./fake-volumes.ts";
import type {
  CallOptions,
  Machine,
  MachineEvent,
  MachineLimits,
  MachineSpec,
  PreparedTemplate,
  Runtime,
  RuntimeCapabilities,
  Template,
} from "./runtime.ts";

interface FakeMachine {
  ownerId: string;
  spec: MachineSpec;
  machine: Machine;
  limits: MachineLimits;
  network: "none" | "internet";
  files: Map<string, Buffer>;
  agent: FakeAgent | undefined;
}

/** What the instances of one test share, as drivers share a daemon: outlives any one of them. */
export class FakeHost {
  readonly machines = new Map<MachineId, FakeMachine>();
  readonly volumes = new Map<string, FakeVolume>();
  readonly watchers = new Set<(ownerId: string, event: MachineEvent) => void>();

  tell(ownerId: string, event: MachineEvent): void {
    for (const watcher of this.watchers) watcher(ownerId, event);
  }
}

export interface FakeRuntimeOptions {
  ownerId: string;
  host?: FakeHost;
  /** How long each create takes. */
  createLatencyMs?: number;
}

export class FakeRuntime implements Runtime {
  readonly name = "fake";
  readonly host: FakeHost;
  /** May be changed at any time. */
  createLatencyMs: number;
  readonly volumes: FakeVolumeStore;
  readonly #ownerId: string;
  readonly #createFailures: InsienError[] = [];

  constructor(options: FakeRuntimeOptions) {
    this.#ownerId = options.ownerId;
    this.host = options.host ?? new FakeHost();
    this.createLatencyMs = options.createLatencyMs ?? 0;
    this.volumes = new FakeVolumeStore(options.ownerId, {
      volumes: this.host.volumes,
      mounted: () => this.host.machines.values().map(({ spec }) => spec.volumes ?? []),
      remount: (machineId, mounts) => this.#remount(machineId, mounts),
    });
  }

  /** Makes the next create throw this, and the one after it, and so on, for as many as were given. */
  failNextCreate(...errors: InsienError[]): void {
    this.#createFailures.push(...errors);
  }

  /** Ends the machine's first process, as the kernel would. */
  crash(machineId: MachineId, reason = "killed by SIGKILL"): void {
    const found = this.#find(machineId);
    if (found?.machine.state !== "running") return;
    found.agent?.[Symbol.dispose]();
    found.machine = { ...found.machine, state: "exited", exitReason: reason };
    this.host.tell(this.#ownerId, { type: "exited", machineId, reason });
  }

  async capabilities(): Promise<RuntimeCapabilities> {
    return {
      images: false,
      users: false,
      limits: { memory: undefined, cpu: undefined, pids: undefined },
      networks: ["none", "internet"],
      stopStart: true,
      liveUpdate: true,
      readOnlyRoot: false,
      gpus: false,
      notes: ["Machines are imaginary: nothing runs in them and no limit means anything."],
    };
  }

  async prepare(template: Template, options: CallOptions = {}): Promise<PreparedTemplate> {
    options.signal?.throwIfAborted();
    return { ...template, fingerprint: `fake-${template.image}` };
  }

  async create(spec: MachineSpec, options: CallOptions = {}): Promise<Machine> {
    const existing = this.#find(spec.machineId);
    if (existing !== undefined) return existing.machine;
    await sleep(this.createLatencyMs, undefined, options);
    options.signal?.throwIfAborted();
    const failure = this.#createFailures.shift();
    if (failure !== undefined) throw failure;
    await access(`${spec.lineDirectory}/token`).catch((cause: unknown) => {
      const message = `machine ${spec.machineId} has no line at ${spec.lineDirectory}`;
      throw new InsienError("create_failed", message, { cause });
    });
    const machine: Machine = {
      machineId: spec.machineId,
      state: "running",
      templateName: spec.template.name,
      fingerprint: spec.template.fingerprint,
      labels: { ...spec.labels },
      createdAt: new Date(),
    };
    const { limits, network } = spec;
    const files = new Map<string, Buffer>();
    const agent = this.#boot(spec, files);
    const ownerId = this.#ownerId;
    this.host.machines.set(spec.machineId, {
      ownerId,
      spec,
      machine,
      limits,
      network,
      files,
      agent,
    });
    return machine;
  }

  async inspect(machineId: MachineId): Promise<Machine | undefined> {
    return this.#find(machineId)?.machine;
  }

  async list(): Promise<Machine[]> {
    const own = this.host.machines.values().filter(({ ownerId }) => ownerId === this.#ownerId);
    return own.map(({ machine }) => machine).toArray();
  }

  async update(
    machineId: MachineId,
    changes: { limits?: MachineLimits; network?: "none" | "internet" },
  ): Promise<void> {
    const found = this.#mustFind(machineId);
    found.limits = changes.limits ?? found.limits;
    found.network = changes.network ?? found.network;
  }

  async stop(machineId: MachineId): Promise<void> {
    const found = this.#mustFind(machineId);
    found.agent?.[Symbol.dispose]();
    found.agent = undefined;
    const { exitReason: _, ...rest } = found.machine;
    found.machine = { ...rest, state: "stopped" };
  }

  async start(machineId: MachineId): Promise<void> {
    const found = this.#mustFind(machineId);
    if (found.machine.state === "running") return;
    const { exitReason: _, ...rest } = found.machine;
    found.machine = { ...rest, state: "running" };
    found.agent = this.#boot(found.spec, found.files);
  }

  async destroy(machineId: MachineId): Promise<boolean> {
    const found = this.#find(machineId);
    if (found === undefined) return false;
    found.agent?.[Symbol.dispose]();
    this.host.machines.delete(machineId);
    this.host.tell(this.#ownerId, { type: "removed", machineId });
    return true;
  }

  async *watch({ signal }: { signal: AbortSignal }): AsyncIterable<MachineEvent> {
    const queue: MachineEvent[] = [];
    let wake = Promise.withResolvers<void>();
    const watcher = (ownerId: string, event: MachineEvent) => {
      if (ownerId !== this.#ownerId) return;
      queue.push(event);
      wake.resolve();
    };
    const abort = () => wake.resolve();
    this.host.watchers.add(watcher);
    signal.addEventListener("abort", abort);
    try {
      while (!signal.aborted) {
        yield* queue.splice(0);
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
    } finally {
      this.host.watchers.delete(watcher);
      signal.removeEventListener("abort", abort);
    }
  }

  /** Machines stay with the host, as real ones would. */
  async [Symbol.asyncDispose](): Promise<void> {}

  async #remount(machineId: MachineId, mounts: readonly VolumeMount[]): Promise<boolean> {
    const found = this.#mustFind(machineId);
    const isRunning = found.machine.state === "running";
    if (isRunning) await this.stop(machineId);
    found.spec = { ...found.spec, volumes: mounts };
    if (isRunning) await this.start(machineId);
    return isRunning;
  }

  #boot(spec: MachineSpec, files: Map<string, Buffer>): FakeAgent {
    const { machineId, lineDirectory } = spec;
    return new FakeAgent({ machineId, lineDirectory, files });
  }

  #find(machineId: MachineId): FakeMachine | undefined {
    const found = this.host.machines.get(machineId);
    return found?.ownerId === this.#ownerId ? found : undefined;
  }

  #mustFind(machineId: MachineId): FakeMachine {
    const found = this.#find(machineId);
    if (found !== undefined) return found;
    throw new InsienError("machine_lost", `there is no machine ${machineId} on this host`);
  }
}
