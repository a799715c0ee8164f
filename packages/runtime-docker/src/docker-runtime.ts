import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { InsienError, LIMITS, type MachineId } from "@insien/protocol";
import type {
  AgentKit,
  CallOptions,
  Machine,
  MachineEvent,
  MachineLimits,
  MachineSpec,
  PreparedTemplate,
  Progress,
  Runtime,
  RuntimeCapabilities,
  Template,
} from "@insien/runtime";
import type Docker from "dockerode";
import { containerOptions, fingerprintOf, limitOptions } from "./container-options.ts";
import { Engine, engineWords, isConflict, isNotFound } from "./engine.ts";
import { containerEnds } from "./engine-events.ts";
import { BASE_IMAGE, ImageBuilder } from "./image-builder.ts";
import { ImageStore } from "./image-store.ts";
import { containerName, LABELS, networkName, stoppedName } from "./machine-labels.ts";
import { exitReasonOf, machineOf } from "./machine-view.ts";
import { NetworkGuard } from "./network-guard.ts";
import { parseSubnetRange } from "./subnets.ts";

export interface DockerRuntimeOptions {
  /** Only machines of this owner are seen or touched. */
  ownerId: string;
  kit: AgentKit;
  /** The Engine's unix socket. */
  socketPath?: string;
  /** Lets `sudo` work inside, at the price of setuid programs being honoured. */
  allowSudo?: boolean;
  /** Where the networks of machines with `internet` come from, a /28 each. */
  subnetRange?: string;
  /** Holds `base/Dockerfile` and `netguard/Dockerfile`. */
  imagesDirectory?: string;
}

/** Enough to hold an error and its stack. */
const LAST_LINES = 40;
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
  #capabilities: Promise<RuntimeCapabilities> | undefined;

  constructor(options: DockerRuntimeOptions) {
    this.#options = options;
    this.#engine = new Engine(options.socketPath ?? DEFAULT_SOCKET);
    this.#images = new ImageStore(this.#engine);
    const imagesDirectory = options.imagesDirectory ?? IMAGES_DIRECTORY;
    this.#builder = new ImageBuilder(this.#engine, this.#images, imagesDirectory);
    const subnets = parseSubnetRange(options.subnetRange ?? DEFAULT_SUBNET_RANGE);
    this.#guard = new NetworkGuard(this.#engine, this.#builder, {
      ownerId: options.ownerId,
      subnets,
    });
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
      readOnlyRoot: false,
      gpus: false,
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
    const wanted = containerOptions(spec, { ownerId, kit, allowSudo, createdAt });
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
      await this.#remove(machineId, container.id);
      throw this.#engine.failure("create_failed", `starting machine ${machineId}`, cause);
    }
    const { name = "", Labels: labels = {} } = wanted;
    return machineOf({ name, labels, running: true, exitReason: undefined });
  }

  async inspect(machineId: MachineId, options: CallOptions = {}): Promise<Machine | undefined> {
    const info = await this.#find(machineId, options);
    return info === undefined ? undefined : await this.#machineOf(info);
  }

  /** The container under either of its names, when it is this owner's. */
  async #find(
    machineId: MachineId,
    options: CallOptions = {},
  ): Promise<Docker.ContainerInspectInfo | undefined> {
    options.signal?.throwIfAborted();
    const request = options.signal === undefined ? {} : { abortSignal: options.signal };
    for (const name of [containerName(machineId), stoppedName(machineId)]) {
      const container = this.#engine.docker.getContainer(name);
      const what = `looking for machine ${machineId}`;
      const info = await this.#engine.ask(what, () => container.inspect(request));
      if (info === undefined) continue;
      return info.Config.Labels[LABELS.owner] === this.#options.ownerId ? info : undefined;
    }
    return undefined;
  }

  async #mustFind(
    machineId: MachineId,
    options: CallOptions,
  ): Promise<Docker.ContainerInspectInfo> {
    const info = await this.#find(machineId, options);
    if (info !== undefined) return info;
    throw new InsienError("machine_lost", `Docker has no machine ${machineId}`);
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
    const filters = { label: [`${LABELS.owner}=${this.#options.ownerId}`, LABELS.machine] };
    const containers = await this.#engine.ask("listing machines", () =>
      this.#engine.docker.listContainers({ all: true, filters: JSON.stringify(filters) }),
    );
    const machines = (containers ?? []).map(async (container) => {
      const name = container.Names[0]?.slice(1) ?? "";
      const running = container.State === "running";
      const fields = { name, labels: container.Labels, running, exitReason: undefined };
      const machine = machineOf(fields);
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
    const info = await this.#mustFind(machineId, options);
    try {
      if (changes.limits !== undefined) {
        await this.#engine.docker.getContainer(info.Id).update(limitOptions(changes.limits));
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
    const info = await this.#mustFind(machineId, options);
    const container = this.#engine.docker.getContainer(info.Id);
    const { graceMs = LIMITS.killGraceMs.value } = options;
    try {
      // Renamed first: an orchestrator that dies between the two leaves a running machine, not one
      // that seems to have crashed.
      const name = stoppedName(machineId);
      if (info.Name !== `/${name}`) await container.rename({ name });
      if (info.State.Running) await container.stop({ t: Math.ceil(graceMs / 1000) });
    } catch (cause) {
      throw this.#engine.failure("internal", `stopping machine ${machineId}`, cause);
    }
  }

  async start(machineId: MachineId, options: CallOptions = {}): Promise<void> {
    const info = await this.#mustFind(machineId, options);
    const container = this.#engine.docker.getContainer(info.Id);
    const networked = Object.hasOwn(info.NetworkSettings.Networks, networkName(machineId));
    try {
      if (!info.State.Running) {
        // Its rules ended with its network namespace: no network until they stand again.
        if (networked) await this.#guard.detach(machineId, info.Id);
        await container.start();
        if (networked) await this.#guard.open(machineId, info.Id);
      }
      const name = containerName(machineId);
      if (info.Name !== `/${name}`) await container.rename({ name });
    } catch (cause) {
      throw this.#engine.failure("create_failed", `starting machine ${machineId}`, cause);
    }
  }

  async destroy(machineId: MachineId, options: CallOptions = {}): Promise<boolean> {
    const info = await this.#find(machineId, options);
    if (info === undefined) return false;
    await this.#remove(machineId, info.Id);
    return true;
  }

  async #remove(machineId: MachineId, containerId: string): Promise<void> {
    const container = this.#engine.docker.getContainer(containerId);
    try {
      await container.remove({ force: true, v: true }).catch((error: unknown) => {
        const removing = isConflict(error) && /in progress/.test(engineWords(error));
        if (!isNotFound(error) && !removing) throw error;
      });
      await this.#guard.remove(machineId);
    } catch (cause) {
      throw this.#engine.failure("internal", `removing machine ${machineId}`, cause);
    }
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
    if (end.removed) return { type: "removed", machineId };
    const machine = await this.inspect(machineId);
    if (machine?.state !== "exited") return undefined;
    return { type: "exited", machineId, reason: machine.exitReason ?? "its end was not seen" };
  }

  /** Machines live on without this object; it holds nothing but idle connections. */
  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What `GET /info` says and dockerode's types leave out. */
interface EngineInfo {
  CgroupVersion?: string;
  MemoryLimit: boolean;
  CpuCfsQuota: boolean;
  PidsLimit: boolean;
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
