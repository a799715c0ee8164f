/** The containers of one owner's machines: found, started, stopped and removed. */
import { InsienError, LIMITS, type MachineId } from "@insien/protocol";
import type { CallOptions } from "@insien/runtime";
import type Docker from "dockerode";
import { engineWords, isConflict, isNotFound, type Engine } from "./engine.ts";
import {
  containerName,
  containerNames,
  homeVolumeName,
  imageKind,
  LABELS,
  networkName,
  stoppedName,
} from "./machine-labels.ts";
import type { NetworkGuard } from "./network-guard.ts";

/** As Docker names volumes that nobody named. */
const ANONYMOUS = /^[0-9a-f]{64}$/;

export class MachineContainers {
  readonly #engine: Engine;
  readonly #guard: NetworkGuard;
  readonly #ownerId: string;

  constructor(engine: Engine, guard: NetworkGuard, ownerId: string) {
    this.#engine = engine;
    this.#guard = guard;
    this.#ownerId = ownerId;
  }

  /** The container that is the machine, when it is this owner's. */
  async find(
    machineId: MachineId,
    options: CallOptions = {},
  ): Promise<Docker.ContainerInspectInfo | undefined> {
    for (const name of containerNames(machineId)) {
      const info = await this.named(name, options);
      if (info !== undefined) return info;
    }
    return undefined;
  }

  async mustFind(machineId: MachineId, options: CallOptions): Promise<Docker.ContainerInspectInfo> {
    const info = await this.find(machineId, options);
    if (info !== undefined) return info;
    throw new InsienError("machine_lost", `Docker has no machine ${machineId}`);
  }

  /** The container of that very name, when it is this owner's. */
  async named(
    name: string,
    { signal }: CallOptions = {},
  ): Promise<Docker.ContainerInspectInfo | undefined> {
    signal?.throwIfAborted();
    const container = this.#engine.docker.getContainer(name);
    const request = signal === undefined ? {} : { abortSignal: signal };
    const info = await this.#engine.ask(`looking for ${name}`, () => container.inspect(request));
    return info?.Config.Labels[LABELS.owner] === this.#ownerId ? info : undefined;
  }

  /** One container per machine: that which is the machine. */
  async list(filters: Record<string, string[]> = {}): Promise<Docker.ContainerInfo[]> {
    const label = [`${LABELS.owner}=${this.#ownerId}`, LABELS.machine];
    const request = { all: true, filters: JSON.stringify({ label, ...filters }) };
    const containers = await this.#engine.ask("listing machines", () =>
      this.#engine.docker.listContainers(request),
    );
    const rank = ({ Labels, Names }: Docker.ContainerInfo) =>
      containerNames(Labels[LABELS.machine] as MachineId).indexOf(Names[0]?.slice(1) ?? "");
    const machines = new Map<string, Docker.ContainerInfo>();
    for (const container of containers ?? []) {
      const id = container.Labels[LABELS.machine] ?? "";
      const known = machines.get(id);
      if (rank(container) < 0) continue;
      if (known === undefined || rank(container) < rank(known)) machines.set(id, container);
    }
    return [...machines.values()];
  }

  async stop(
    machineId: MachineId,
    info: Docker.ContainerInspectInfo,
    graceMs: number = LIMITS.killGraceMs.value,
  ): Promise<void> {
    const container = this.#engine.docker.getContainer(info.Id);
    // Renamed first: an orchestrator that dies between the two leaves a running machine, not one
    // that seems to have crashed.
    const name = stoppedName(machineId);
    if (info.Name !== `/${name}`) await container.rename({ name });
    if (info.State.Running) await container.stop({ t: Math.ceil(graceMs / 1000) });
  }

  async start(machineId: MachineId, info: Docker.ContainerInspectInfo): Promise<void> {
    const container = this.#engine.docker.getContainer(info.Id);
    const networked = Object.hasOwn(info.NetworkSettings.Networks, networkName(machineId));
    if (!info.State.Running) {
      // Its rules ended with its network namespace: no network until they stand again.
      if (networked) await this.#guard.detach(machineId, info.Id);
      await container.start();
      if (networked) await this.#guard.open(machineId, info.Id);
    }
    const name = containerName(machineId);
    if (info.Name !== `/${name}`) await container.rename({ name });
  }

  /** Removes the machine with all that was made for it. `false` when there was none. */
  async destroy(machineId: MachineId, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    const containers = await this.#containersOf(machineId);
    if (containers.length === 0) return false;
    const volumes = new Set(containers.flatMap((container) => ownVolumes(machineId, container)));
    try {
      await Promise.all(containers.map(({ Id }) => this.removeContainer(Id)));
      await Promise.all([
        this.#guard.remove(machineId),
        ...[...volumes].map((name) => this.#removeVolume(name)),
      ]);
      for (const { ImageID } of containers) await this.removeImages(ImageID);
    } catch (cause) {
      throw this.#engine.failure("internal", `removing machine ${machineId}`, cause);
    }
    return true;
  }

  /** Also those that wait to take its place, or had it. */
  async #containersOf(machineId: MachineId): Promise<Docker.ContainerInfo[]> {
    const label = [`${LABELS.owner}=${this.#ownerId}`, `${LABELS.machine}=${machineId}`];
    const request = { all: true, filters: JSON.stringify({ label }) };
    const containers = await this.#engine.ask(`looking for machine ${machineId}`, () =>
      this.#engine.docker.listContainers(request),
    );
    return containers ?? [];
  }

  /** With its anonymous volumes unless another container has them. Idempotent. */
  async removeContainer(containerId: string): Promise<void> {
    const container = this.#engine.docker.getContainer(containerId);
    await container.remove({ force: true, v: true }).catch((error: unknown) => {
      const removing = isConflict(error) && /in progress/.test(engineWords(error));
      if (!isNotFound(error) && !removing) throw error;
    });
  }

  async #removeVolume(name: string): Promise<void> {
    await this.#engine.docker
      .getVolume(name)
      .remove()
      .catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
  }

  /** The images that machines' files were kept in, from this one down, as far as nobody uses them. */
  async removeImages(imageId: string): Promise<void> {
    for (let id = imageId; id !== "";) {
      const image = this.#engine.docker.getImage(id);
      const info = await this.#engine.ask("looking for an image", () => image.inspect());
      const labels = info?.Config?.Labels ?? {};
      if (labels[LABELS.owner] !== this.#ownerId || labels[LABELS.image] !== imageKind.kept) return;
      const removed = await image.remove({ noprune: true }).then(
        () => true,
        (error: unknown) => {
          // A container or a younger image stands on it.
          if (isConflict(error)) return false;
          if (isNotFound(error)) return true;
          throw error;
        },
      );
      if (!removed) return;
      id = info?.Parent ?? "";
    }
  }
}

/** Volumes that are of this machine alone: its home, and what its image declares. */
function ownVolumes(machineId: MachineId, { Mounts }: Docker.ContainerInfo): string[] {
  const names = Mounts.map(({ Name = "" }) => Name);
  return names.filter((name) => name === homeVolumeName(machineId) || ANONYMOUS.test(name));
}
