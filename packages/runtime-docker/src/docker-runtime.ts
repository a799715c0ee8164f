import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { InsienError, LIMITS, type MachineId } from "@insien/protocol";
import type {
  AgentKit,
  CallOptions,
  ImageBuilds,
  Leftovers,
  Machine,
  MachineEvent,
  MachineLimits,
  MachineSpec,
  Meter,
  PreparedTemplate,
  Progress,
  Runtime,
  RuntimeCapabilities,
  Template,
  VolumeMount,
  VolumeStore,
} from "@insien/runtime";
import type Docker from "dockerode";
import { ContainerMeter } from "./container-meter.ts";
import { containerOptions, fingerprintOf, limitOptions } from "./container-options.ts";
import { ContextBuilds } from "./context-builds.ts";
import { Engine, engineWords, isConflict, isNotFound } from "./engine.ts";
import { EngineLeftovers } from "./engine-leftovers.ts";
import { containerEnds } from "./engine-events.ts";
import { BASE_IMAGE, ImageBuilder } from "./image-builder.ts";
import { ImageStore } from "./image-store.ts";
import { MachineContainers } from "./machine-containers.ts";
import { MachineHomes } from "./machine-home.ts";
import { reservedLabel } from "./machine-labels.ts";
import { exitReasonOf, machineOf } from "./machine-view.ts";
import { NetworkGuard } from "./network-guard.ts";
import { remount } from "./remount.ts";
import { parseSubnetRange } from "./subnets.ts";
import { VolumeShelf } from "./volume-store.ts";

export interface DockerRuntimeOptions {
  /** Only machines of this owner are seen or touched. */
  ownerId: string;
  kit: AgentKit;
  /** The Engine's unix socket. */
  socketPath?: string;
  /** Lets `sudo` work inside, at the price of setuid programs being honoured. */
  allowSudo?: boolean;
  /** Registries that alone are pulled from, private ones among them; any public one by default. */
  registries?: readonly string[];
  /** Where the networks of machines with `internet` come from, a /28 each. */
  subnetRange?: string;
  /** Of a machine's image, before its files are kept as one layer when it gets other volumes. */
  imageLayers?: number;
  /** Holds `base/Dockerfile` and `netguard/Dockerfile`. */
  imagesDirectory?: string;
}

/** Enough to hold an error and its stack. */
const LAST_LINES = 40;
const NO_GPUS =
  "Docker has no runtime named nvidia here; install the NVIDIA Container Toolkit and restart Docker";
const DEFAULT_SOCKET = "/var/run/docker.sock";
const DEFAULT_SUBNET_RANGE = "10.213.0.0/16";
const IMAGES_DIRECTORY = fileURLToPath(new URL("../../../images/", import.meta.url));

/** Machines as containers of the Docker daemon at `socketPath`. */
export function createDockerRuntime(options: DockerRuntimeOptions): Runtime {
  return new DockerRuntime(options);
}

class DockerRuntime implements Runtime {
  readonly name = "docker";
  readonly #options: DockerRuntimeOptions;
  readonly #engine: Engine;
  readonly #images: ImageStore;
  readonly #builder: ImageBuilder;
  readonly #guard: NetworkGuard;
  readonly #containers: MachineContainers;
  readonly #shelf: VolumeShelf;
  readonly #homes: MachineHomes;
  /** Machines that are being made anew by this instance: to others they are what they were. */
  readonly #remounting = new Map<MachineId, Machine>();
  readonly volumes: VolumeStore;
  readonly meter: Meter;
  readonly builds: ImageBuilds;
  readonly leftovers: Leftovers;
  #capabilities: Promise<RuntimeCapabilities> | undefined;
  /** Of the host, once Docker was asked what it can do. */
  #cores = Number.POSITIVE_INFINITY;

  constructor(options: DockerRuntimeOptions) {
    this.#options = options;
    this.#engine = new Engine(options.socketPath ?? DEFAULT_SOCKET);
    this.#images = new ImageStore(this.#engine, options.registries);
    const imagesDirectory = options.imagesDirectory ?? IMAGES_DIRECTORY;
    this.#builder = new ImageBuilder(this.#engine, this.#images, imagesDirectory);
    const subnets = parseSubnetRange(options.subnetRange ?? DEFAULT_SUBNET_RANGE);
    this.#guard = new NetworkGuard(this.#engine, this.#builder, {
      ownerId: options.ownerId,
      subnets,
    });
    this.#containers = new MachineContainers(this.#engine, this.#guard, options.ownerId);
    this.#shelf = new VolumeShelf(this.#engine, options.ownerId);
    this.#homes = new MachineHomes(this.#engine, options.ownerId);
    this.volumes = this.#volumeStore();
    this.builds = new ContextBuilds({
      engine: this.#engine,
      images: this.#images,
      builder: this.#builder,
      guard: this.#guard,
      ownerId: options.ownerId,
      kit: options.kit,
    });
    this.leftovers = new EngineLeftovers(this.#engine, options.ownerId);
    this.meter = new ContainerMeter(this.#engine, this.#containers);
  }

  #volumeStore(): VolumeStore {
    const shelf = this.#shelf;
    return {
      create: (spec, options) => shelf.create(spec, options),
      destroy: (volumeId, options) => shelf.destroy(volumeId, options),
      list: (options) => shelf.list(options),
      sizes: (volumeIds, options) => shelf.sizes(volumeIds, options),
      remount: (machineId, mounts, options) => this.#remount(machineId, mounts, options),
    };
  }

  async #remount(
    machineId: MachineId,
    mounts: readonly VolumeMount[],
    options?: CallOptions & { graceMs?: number },
  ): Promise<{ restarted: boolean }> {
    const machine = await this.inspect(machineId, options);
    if (machine !== undefined) this.#remounting.set(machineId, machine);
    const { ownerId, imageLayers = LIMITS.machineImageLayers.value } = this.#options;
    const containers = this.#containers;
    const parts = { engine: this.#engine, ownerId, containers, shelf: this.#shelf, imageLayers };
    try {
      return await remount(parts, { machineId, mounts }, options);
    } finally {
      this.#remounting.delete(machineId);
    }
  }

  async capabilities(): Promise<RuntimeCapabilities> {
    this.#capabilities ??= this.#examine();
    return await this.#capabilities.catch((error: unknown) => {
      this.#capabilities = undefined;
      throw error;
    });
  }

  async #examine(): Promise<RuntimeCapabilities> {
    const info = (await this.#engine.docker.info().catch((cause: unknown) => {
      throw this.#engine.failure("create_failed", "asking Docker what it can do", cause);
    })) as EngineInfo;
    this.#cores = info.NCPU;
    await this.#guard.sweep(() => this.list());
    const cgroup = `cgroup v${info.CgroupVersion ?? "1"}`;
    const notes: string[] = [];
    const means = (present: boolean, limit: string): string | undefined => {
      if (!present) notes.push(`Docker reports no ${limit} limit on this host's kernel.`);
      return present ? cgroup : undefined;
    };
    if (this.#options.allowSudo !== true) {
      notes.push("sudo does not work in sandboxes (no-new-privileges); run commands as user root.");
    }
    const gpus = Object.hasOwn(info.Runtimes ?? {}, "nvidia");
    if (!gpus) notes.push(`No GPUs: ${NO_GPUS}.`);
    return {
      images: true,
      users: true,
      limits: {
        memory: means(info.MemoryLimit, "memory"),
        cpu: means(info.CpuCfsQuota, "CPU"),
        pids: means(info.PidsLimit, "process"),
      },
      networks: ["none", "internet"],
      stopStart: true,
      liveUpdate: true,
      readOnlyRoot: true,
      gpus,
      notes,
    };
  }

  async prepare(
    template: Template,
    options: CallOptions & { onProgress?: (progress: Progress) => void } = {},
  ): Promise<PreparedTemplate> {
    options.signal?.throwIfAborted();
    const { image } = template;
    const reference = image === BASE_IMAGE ? await this.#builder.base(options) : image;
    const found = await this.#images.find(reference);
    const stored = found ?? (await this.#images.pull(reference, options));
    const reserved = reservedLabel(stored.labels);
    if (reserved !== undefined) {
      const message = `the image ${reference} has the label ${reserved}; labels that begin with "insien." are reserved`;
      throw new InsienError("image_unavailable", message);
    }
    const user = template.user ?? stored.user;
    return {
      ...template,
      ...(user === undefined ? {} : { user }),
      fingerprint: fingerprintOf(stored.id, this.#options.kit),
    };
  }

  /**
   * The Engine finishes a create whose caller has left, so an abort is looked at between the steps,
   * and what was made by then is removed before this rejects.
   */
  async create(spec: MachineSpec, options: CallOptions = {}): Promise<Machine> {
    options.signal?.throwIfAborted();
    const { machineId } = spec;
    const createdAt = new Date();
    const { ownerId, kit, allowSudo = false } = this.#options;
    await this.#mustOffer(spec);
    const homeMount = spec.readOnlyRoot === true ? await this.#homes.mountFor(spec) : undefined;
    const limited = { ...spec, limits: await this.#limitsHere(spec.limits) };
    const wanted = containerOptions(limited, { ownerId, kit, allowSudo, createdAt, homeMount });
    let container: Docker.Container;
    try {
      container = await this.#engine.docker.createContainer(wanted);
    } catch (cause) {
      const existing = isConflict(cause) ? await this.inspect(machineId) : undefined;
      if (existing !== undefined) return existing;
      const code = isNotFound(cause) ? "image_unavailable" : "create_failed";
      throw this.#engine.failure(code, `creating machine ${machineId}`, cause);
    }
    try {
      options.signal?.throwIfAborted();
      const started = container.start();
      if (spec.network === "internet") await this.#guard.openNew(machineId, container.id, started);
      await started;
      options.signal?.throwIfAborted();
    } catch (cause) {
      await this.#containers.destroy(machineId);
      throw this.#startFailure(`starting machine ${machineId}`, cause);
    }
    const { name = "", Labels: labels = {} } = wanted;
    return machineOf({ name, labels, running: true, exitReason: undefined });
  }

  /** Docker refuses more cores than the host has, where all of them are what was asked for. */
  async #limitsHere(limits: MachineLimits): Promise<MachineLimits> {
    await this.capabilities();
    return { ...limits, cpu: Math.min(limits.cpu, this.#cores) };
  }

  async #mustOffer({ machineId, volumes, gpu }: MachineSpec): Promise<void> {
    if (volumes !== undefined) await this.#shelf.mustHave(volumes);
    if (gpu === undefined || (await this.capabilities()).gpus) return;
    const message = `Machine ${machineId} asks for GPUs, and ${NO_GPUS}`;
    throw new InsienError("capability_missing", message);
  }

  async inspect(machineId: MachineId, options: CallOptions = {}): Promise<Machine | undefined> {
    const remounting = this.#remounting.get(machineId);
    if (remounting !== undefined) return remounting;
    const info = await this.#containers.find(machineId, options);
    return info === undefined ? undefined : await this.#machineOf(info);
  }

  async #machineOf(info: Docker.ContainerInspectInfo): Promise<Machine> {
    const name = info.Name.slice(1);
    const labels = info.Config.Labels;
    const running = info.State.Running;
    const container = { name, labels, running, exitReason: undefined };
    const machine = machineOf(container);
    if (machine.state !== "exited") return machine;
    return machineOf({ ...container, exitReason: await this.#exitReason(info) });
  }

  async #exitReason(info: Docker.ContainerInspectInfo): Promise<string> {
    const logs = this.#engine.docker.getContainer(info.Id);
    const words = await logs
      .logs({ stdout: true, stderr: true, tail: LAST_LINES })
      .then(withoutFraming, () => "");
    return exitReasonOf(info.State, words);
  }

  async list(options: CallOptions = {}): Promise<Machine[]> {
    options.signal?.throwIfAborted();
    const containers = await this.#containers.list();
    const machines = containers.map(async (container) => {
      const name = container.Names[0]?.slice(1) ?? "";
      const running = container.State === "running";
      const fields = { name, labels: container.Labels, running, exitReason: undefined };
      const machine = machineOf(fields);
      const remounting = this.#remounting.get(machine.machineId);
      if (remounting !== undefined) return remounting;
      // Why it ended is only in the details.
      return machine.state === "exited" ? await this.inspect(machine.machineId) : machine;
    });
    return (await Promise.all(machines)).filter((machine) => machine !== undefined);
  }

  async update(
    machineId: MachineId,
    changes: { limits?: MachineLimits; network?: "none" | "internet" },
    options: CallOptions = {},
  ): Promise<void> {
    const info = await this.#containers.mustFind(machineId, options);
    try {
      if (changes.limits !== undefined) {
        const limits = limitOptions(await this.#limitsHere(changes.limits));
        await this.#engine.docker.getContainer(info.Id).update(limits);
      }
      if (changes.network === "internet") await this.#guard.open(machineId, info.Id);
      if (changes.network === "none") await this.#guard.close(machineId, info.Id);
    } catch (cause) {
      throw this.#engine.failure("create_failed", `changing machine ${machineId}`, cause);
    }
  }

  async stop(
    machineId: MachineId,
    options: CallOptions & { graceMs?: number } = {},
  ): Promise<void> {
    const info = await this.#containers.mustFind(machineId, options);
    try {
      await this.#containers.stop(machineId, info, options.graceMs);
    } catch (cause) {
      throw this.#engine.failure("internal", `stopping machine ${machineId}`, cause);
    }
  }

  async start(machineId: MachineId, options: CallOptions = {}): Promise<void> {
    const info = await this.#containers.mustFind(machineId, options);
    try {
      await this.#containers.start(machineId, info);
    } catch (cause) {
      throw this.#startFailure(`starting machine ${machineId}`, cause);
    }
  }

  /** Docker mounts volumes when a container starts, and says then what is wrong with them. */
  #startFailure(what: string, cause: unknown): InsienError {
    const code = /mount(?:ing)? (?:volume|local volume)/.test(engineWords(cause))
      ? "volume_failed"
      : "create_failed";
    return this.#engine.failure(code, what, cause);
  }

  async destroy(machineId: MachineId, options: CallOptions = {}): Promise<boolean> {
    return await this.#containers.destroy(machineId, options);
  }

  async *watch({ signal }: { signal: AbortSignal }): AsyncIterable<MachineEvent> {
    let since = new Date();
    while (!signal.aborted) {
      try {
        const { ownerId } = this.#options;
        for await (const end of containerEnds(this.#engine, ownerId, { since, signal })) {
          since = end.at;
          const event = await this.#eventOf(end);
          if (event !== undefined) yield event;
        }
      } catch (error) {
        if (!signal.aborted && !(error instanceof Error)) throw error;
      }
      // The daemon is away or restarting; `list` tells what was missed.
      await sleep(LIMITS.engineReconnectMs.value, undefined, { signal }).catch(() => undefined);
    }
  }

  async #eventOf(end: {
    machineId: MachineId;
    removed: boolean;
  }): Promise<MachineEvent | undefined> {
    const { machineId } = end;
    const machine = await this.inspect(machineId);
    // Where a container took its place the machine is still there.
    if (end.removed) return machine === undefined ? { type: "removed", machineId } : undefined;
    if (machine?.state !== "exited") return undefined;
    return { type: "exited", machineId, reason: machine.exitReason ?? "its end was not seen" };
  }

  /** Machines live on without this object; it holds nothing but idle connections. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What `GET /info` says and dockerode's types leave out. */
interface EngineInfo {
  /** Cores. */
  NCPU: number;
  CgroupVersion?: string;
  MemoryLimit: boolean;
  CpuCfsQuota: boolean;
  PidsLimit: boolean;
  Runtimes?: Record<string, unknown>;
}

/** Log frames carry eight bytes of header each: stream, three zeros, length. */
function withoutFraming(frames: Buffer): string {
  const texts: string[] = [];
  for (let at = 0; at + 8 <= frames.byteLength;) {
    const length = frames.readUInt32BE(at + 4);
    texts.push(frames.toString("utf8", at + 8, at + 8 + length));
    at += 8 + length;
  }
  return texts.join("");
}
