/**
 * `internet`: a bridge network for one machine alone, joined only after a helper container has put
 * the firewall into the machine's network namespace. There is no moment without the rules: until
 * the network is joined, the machine has nothing but loopback.
 */
import { InsienError, newId, type MachineId } from "@insien/protocol";
import type { Machine } from "@insien/runtime";
import type Docker from "dockerode";
import { engineWords, isConflict, isNotFound, type Engine } from "./engine.ts";
import { guardRules } from "./guard-rules.ts";
import { runHelper } from "./helper-run.ts";
import { HostView } from "./host-view.ts";
import type { ImageBuilder } from "./image-builder.ts";
import { LABELS, networkName } from "./machine-labels.ts";
import { freeSubnets, type SubnetRange } from "./subnets.ts";

const HELPER_MEMORY_BYTES = 64 * 1024 * 1024;
const HELPER_PIDS = 16;
const HELPER_LIFE_MS = 60_000;

export interface NetworkGuardOptions {
  ownerId: string;
  subnets: SubnetRange;
}

export class NetworkGuard {
  readonly #engine: Engine;
  readonly #builder: ImageBuilder;
  readonly #options: NetworkGuardOptions;
  readonly #view: HostView;
  /** Handed out to networks that Docker does not list yet. */
  readonly #reserved = new Set<string>();

  constructor(engine: Engine, builder: ImageBuilder, options: NetworkGuardOptions) {
    this.#engine = engine;
    this.#builder = builder;
    this.#options = options;
    this.#view = new HostView(engine, builder, { ownerId: options.ownerId });
  }

  /** Addresses besides the private ones that lead to the host. */
  hostAddresses(): Promise<string[]> {
    return this.#view.addresses();
  }

  /** Those that machines may ask, wherever they are. */
  nameServers(): Promise<string[]> {
    return this.#view.nameServers();
  }

  /** Brings the internet to a running container. Idempotent. */
  async open(machineId: MachineId, containerId: string): Promise<void> {
    const info = await this.#engine.docker.getContainer(containerId).inspect();
    await this.#openBesides(Object.keys(info.NetworkSettings.Networks), machineId, containerId);
  }

  /** The same for one that has no network yet and runs once `started` resolves: sooner done. */
  async openNew(
    machineId: MachineId,
    containerId: string,
    started: Promise<unknown>,
  ): Promise<void> {
    await this.#openBesides(["none"], machineId, containerId, started);
  }

  async #openBesides(
    joined: readonly string[],
    machineId: MachineId,
    containerId: string,
    started: Promise<unknown> = Promise.resolve(),
  ): Promise<void> {
    const seen = Promise.all([this.nameServers(), this.hostAddresses(), started]);
    const guarded = seen.then(([names, addresses]) =>
      this.apply(machineId, containerId, guardRules(names, addresses)),
    );
    // Both are waited for even when one fails: what comes next may be the removal of everything.
    const [network, applied] = await Promise.allSettled([this.#ensureNetwork(machineId), guarded]);
    if (applied.status === "rejected") throw applied.reason;
    if (network.status === "rejected") throw network.reason;
    if (joined.includes("none")) {
      await this.#engine.docker.getNetwork("none").disconnect({ Container: containerId });
    }
    if (joined.includes(networkName(machineId))) return;
    await network.value.connect({ Container: containerId });
  }

  /** Takes the network from the container, running or not, and removes it. Idempotent. */
  async close(machineId: MachineId, containerId: string): Promise<void> {
    if (!(await this.detach(machineId, containerId))) return;
    await this.#engine.docker.getNetwork("none").connect({ Container: containerId });
    await this.remove(machineId);
  }

  /** Disconnects a machine from its network, which stays. `false` when it has none. */
  async detach(machineId: MachineId, containerId: string): Promise<boolean> {
    const network = this.#engine.docker.getNetwork(networkName(machineId));
    try {
      await network.disconnect({ Container: containerId, Force: true });
    } catch (error) {
      // 404 is no such network; "is not connected" comes as another status on each version.
      if (isNotFound(error)) return (await this.#exists(machineId)) ?? false;
      if (!engineWords(error).includes("is not connected")) throw error;
    }
    return true;
  }

  async #exists(machineId: MachineId): Promise<boolean> {
    const what = `looking for the network of machine ${machineId}`;
    const network = this.#engine.docker.getNetwork(networkName(machineId));
    return (await this.#engine.ask(what, () => network.inspect())) !== undefined;
  }

  async remove(machineId: MachineId): Promise<void> {
    const network = this.#engine.docker.getNetwork(networkName(machineId));
    await network.remove().catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  /** Removes what an orchestrator that was killed midway left: networks of no machine, old helpers. */
  async sweep(listMachines: () => Promise<Machine[]>): Promise<void> {
    const { docker } = this.#engine;
    const owned = `${LABELS.owner}=${this.#options.ownerId}`;
    const ofHelpers = JSON.stringify({ label: [owned, LABELS.helper] });
    const helpers = await docker.listContainers({ all: true, filters: ofHelpers });
    const networks = await docker.listNetworks({ filters: JSON.stringify({ label: [owned] }) });
    // Asked after the networks: a machine is always there before its network is.
    const machineIds = new Set<string>((await listMachines()).map(({ machineId }) => machineId));
    const ofBuilds = JSON.stringify({ label: [owned, LABELS.build] });
    for (const { Labels } of await docker.listContainers({ all: true, filters: ofBuilds })) {
      machineIds.add(Labels[LABELS.build] ?? "");
    }
    const forsaken = networks.filter(
      ({ Labels }) => !machineIds.has(Labels?.[LABELS.machine] ?? ""),
    );
    // Another orchestrator of this owner may be using a younger one right now.
    const old = helpers.filter(({ Created }) => Date.now() - Created * 1000 > HELPER_LIFE_MS);
    await Promise.allSettled([
      ...forsaken.map(({ Id }) => docker.getNetwork(Id).remove()),
      ...old.map(({ Id }) => docker.getContainer(Id).remove({ force: true })),
    ]);
  }

  async #ensureNetwork(machineId: MachineId): Promise<Docker.Network> {
    const networks = await this.#engine.docker.listNetworks();
    const name = networkName(machineId);
    if (networks.some(({ Name }) => Name === name)) return this.#engine.docker.getNetwork(name);
    const pools = networks.flatMap(({ IPAM }) => IPAM?.Config ?? []);
    const taken = pools
      .map(({ Subnet = "" }) => Subnet)
      .filter((subnet) => /^[\d.]+\//.test(subnet));
    for (const subnet of freeSubnets(this.#options.subnets, taken)) {
      if (this.#reserved.has(subnet)) continue;
      this.#reserved.add(subnet);
      try {
        return await this.#createNetwork(machineId, subnet);
      } catch (error) {
        // Another program took the subnet between the list and now, or a route of the host holds it.
        if (!/overlap/i.test(engineWords(error))) throw error;
      } finally {
        this.#reserved.delete(subnet);
      }
    }
    throw new InsienError("no_capacity", "no subnet is free for another sandbox with internet");
  }

  async #createNetwork(machineId: MachineId, subnet: string): Promise<Docker.Network> {
    return await this.#engine.docker.createNetwork({
      Name: networkName(machineId),
      CheckDuplicate: true,
      Driver: "bridge",
      EnableIPv6: false,
      IPAM: { Driver: "default", Config: [{ Subnet: subnet }] },
      Options: { "com.docker.network.bridge.enable_icc": "false" },
      Labels: { [LABELS.owner]: this.#options.ownerId, [LABELS.machine]: machineId },
    });
  }

  /** Runs `nft` beside the container: NET_ADMIN over that one namespace, and nothing else. */
  async apply(machineId: MachineId, containerId: string, rules: string): Promise<void> {
    const image = await this.#builder.netguard();
    const helper = await this.#engine.docker.createContainer({
      name: `insien-guard-${newId()}`,
      Image: image,
      Entrypoint: ["nft"],
      Cmd: [rules],
      Labels: { [LABELS.owner]: this.#options.ownerId, [LABELS.helper]: machineId },
      HostConfig: {
        NetworkMode: `container:${containerId}`,
        CapDrop: ["ALL"],
        CapAdd: ["NET_ADMIN"],
        SecurityOpt: ["no-new-privileges:true"],
        ReadonlyRootfs: true,
        Memory: HELPER_MEMORY_BYTES,
        PidsLimit: HELPER_PIDS,
      },
    });
    try {
      const exitCode = await runHelper(helper);
      if (exitCode === 0) return;
      const words = (await helper.logs({ stdout: true, stderr: true })).toString("utf8");
      const message = `the firewall of machine ${machineId} could not be set: ${words.trim()}`;
      throw new InsienError("create_failed", message);
    } finally {
      await helper.remove({ force: true }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    }
  }
}
