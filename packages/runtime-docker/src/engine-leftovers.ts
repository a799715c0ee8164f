/**
 * What Docker still has of ours and no machine uses: things that a killed orchestrator did not get to
 * remove, and images of builds that nobody asks for any more. Only what carries our owner label is
 * looked at, and only when it is old enough not to be part of a call that is under way.
 */
import { LIMITS, type MachineId } from "@insien/protocol";
import type { CallOptions, Leftover, Leftovers } from "@insien/runtime";
import type Docker from "dockerode";
import { isConflict, isNotFound, type Engine } from "./engine.ts";
import {
  containerName,
  containerNames,
  homeVolumeName,
  imageKind,
  LABELS,
} from "./machine-labels.ts";
import { bytesBelow } from "./volume-store.ts";

const MILLISECONDS = 1_000;

export class EngineLeftovers implements Leftovers {
  readonly #engine: Engine;
  readonly #ownerId: string;

  constructor(engine: Engine, ownerId: string) {
    this.#engine = engine;
    this.#ownerId = ownerId;
  }

  /** In an order in which they can be removed. */
  async find({ signal }: CallOptions = {}): Promise<Leftover[]> {
    signal?.throwIfAborted();
    const { docker } = this.#engine;
    const filters = JSON.stringify({ label: [`${LABELS.owner}=${this.#ownerId}`] });
    const found = await this.#engine.ask("looking for leftovers", async () => {
      // Containers last: whoever makes one makes what it uses before it.
      const networks = await docker.listNetworks({ filters });
      const { Volumes } = await docker.listVolumes({ filters: filters as never });
      const images = await docker.listImages({ all: true });
      const containers = await docker.listContainers({ all: true });
      return { networks, volumes: Volumes ?? [], images, containers };
    });
    if (found === undefined) return [];
    const own = found.containers.filter(({ Labels }) => Labels[LABELS.owner] === this.#ownerId);
    return [
      ...leftoverContainers(own),
      ...leftoverNetworks(found.networks, own),
      ...(await leftoverHomes(found.volumes, own, signal)),
      ...leftoverImages(found.images, found.containers, this.#ownerId),
    ];
  }

  /** Looks again before it removes. */
  async remove(leftover: Leftover, options: CallOptions = {}): Promise<boolean> {
    const { kind, id } = leftover;
    const found = await this.find(options);
    if (!found.some((one) => one.kind === kind && one.id === id)) return false;
    try {
      await this.#remove(kind, id);
      return true;
    } catch (cause) {
      if (isNotFound(cause) || isConflict(cause) || isInUse(cause)) return false;
      throw this.#engine.failure("internal", `removing the ${kind} ${id}`, cause);
    }
  }

  async #remove(kind: Leftover["kind"], id: string): Promise<void> {
    const { docker } = this.#engine;
    if (kind === "network") await docker.getNetwork(id).remove();
    else if (kind === "image") await docker.getImage(id).remove({ noprune: true });
    else if (isHome(id)) await docker.getVolume(id).remove();
    else await docker.getContainer(id).remove({ force: true, v: true });
  }
}

const HOME_PREFIX = homeVolumeName("" as MachineId);
const isHome = (id: string): boolean => id.startsWith(HOME_PREFIX);
const isInUse = (error: unknown): boolean =>
  error instanceof Error && /active endpoints|in use/.test(error.message);

const olderThan = (createdAt: Date, ageMs: number): boolean =>
  Date.now() - createdAt.getTime() > ageMs;
const createdAtOf = ({ Created }: { Created: number }): Date => new Date(Created * MILLISECONDS);

function leftoverContainers(own: readonly Docker.ContainerInfo[]): Leftover[] {
  const found: Leftover[] = [];
  for (const container of own) {
    const reason = whyLeft(container, own);
    if (reason === undefined) continue;
    found.push({ kind: "machine", id: container.Id, reason, createdAt: createdAtOf(container) });
  }
  return found;
}

function whyLeft(
  container: Docker.ContainerInfo,
  own: readonly Docker.ContainerInfo[],
): string | undefined {
  const { Labels } = container;
  const age = (ageMs: number) => olderThan(createdAtOf(container), ageMs);
  const helped = Labels[LABELS.helper];
  if (helped !== undefined) {
    return age(LIMITS.leftoverAgeMs.value) ? `it helped ${helped} for a moment` : undefined;
  }
  if (Labels[LABELS.build] !== undefined) {
    const over = age(LIMITS.buildMs.value + LIMITS.leftoverAgeMs.value);
    return over ? "it held the network of a build that is over" : undefined;
  }
  const machineId = Labels[LABELS.machine] as MachineId | undefined;
  if (machineId === undefined) return undefined;
  const rank = rankOf(machineId, container);
  const machine = own
    .filter((one) => one.Labels[LABELS.machine] === machineId && rankOf(machineId, one) >= 0)
    .toSorted((one, other) => rankOf(machineId, one) - rankOf(machineId, other))[0];
  if (machine !== undefined && machine !== container && rank >= 0) {
    // The younger of the two says how long ago one was to take the other's place.
    const younger = createdAtOf(machine) > createdAtOf(container) ? machine : container;
    return olderThan(createdAtOf(younger), LIMITS.leftoverAgeMs.value)
      ? `another container is machine ${machineId} by now`
      : undefined;
  }
  const neverStarted =
    container.State === "created" && nameOf(container) === containerName(machineId);
  return neverStarted && age(LIMITS.leftoverAgeMs.value)
    ? `machine ${machineId} was made and never started`
    : undefined;
}

const nameOf = ({ Names }: Docker.ContainerInfo): string => Names[0]?.slice(1) ?? "";
const rankOf = (machineId: MachineId, container: Docker.ContainerInfo): number =>
  containerNames(machineId).indexOf(nameOf(container));

function leftoverNetworks(
  networks: readonly Docker.NetworkInspectInfo[],
  own: readonly Docker.ContainerInfo[],
): Leftover[] {
  const users = new Set(
    own.flatMap(({ Labels }) => [Labels[LABELS.machine], Labels[LABELS.build]]),
  );
  return networks
    .map((network) => ({ network, user: network.Labels?.[LABELS.machine] }))
    .filter(({ user }) => user !== undefined && !users.has(user))
    .map(({ network, user }) => ({
      kind: "network" as const,
      id: network.Id,
      reason: `machine ${user} is gone`,
      createdAt: new Date(network.Created),
    }))
    .filter(({ createdAt }) => olderThan(createdAt, LIMITS.leftoverAgeMs.value));
}

async function leftoverHomes(
  volumes: readonly (Docker.VolumeInspectInfo & { CreatedAt?: string })[],
  own: readonly Docker.ContainerInfo[],
  signal: AbortSignal | undefined,
): Promise<Leftover[]> {
  const machineIds = new Set(own.map(({ Labels }) => Labels[LABELS.machine]));
  const found: Leftover[] = [];
  for (const { Name, Labels, CreatedAt, Mountpoint } of volumes) {
    const machineId = Labels?.[LABELS.machine];
    const createdAt = new Date(CreatedAt ?? 0);
    if (!isHome(Name) || machineId === undefined || machineIds.has(machineId)) continue;
    if (!olderThan(createdAt, LIMITS.leftoverAgeMs.value)) continue;
    const bytes = await bytesBelow(Mountpoint, signal);
    const reason = `it is the home of machine ${machineId}, which is gone`;
    found.push({
      kind: "machine",
      id: Name,
      reason,
      createdAt,
      ...(bytes === undefined ? {} : { bytes }),
    });
  }
  return found;
}

function leftoverImages(
  images: readonly Docker.ImageInfo[],
  containers: readonly Docker.ContainerInfo[],
  ownerId: string,
): Leftover[] {
  const used = new Set(containers.map(({ ImageID }) => ImageID));
  const byId = new Map(images.map((image) => [image.Id, image]));
  const children = Map.groupBy(images, ({ ParentId }) => ParentId);
  const found: Leftover[] = [];
  const isLeft = (image: Docker.ImageInfo): boolean =>
    image.Labels?.[LABELS.owner] === ownerId &&
    whyUnused(image) !== undefined &&
    !used.has(image.Id) &&
    (children.get(image.Id) ?? []).every(isLeft);
  const tell = (image: Docker.ImageInfo): void => {
    if (found.some(({ id }) => id === image.Id)) return;
    for (const child of children.get(image.Id) ?? []) tell(child);
    const bytes = Math.max(0, image.Size - (byId.get(image.ParentId)?.Size ?? 0));
    const createdAt = createdAtOf(image);
    found.push({ kind: "image", id: image.Id, reason: whyUnused(image) ?? "", createdAt, bytes });
  };
  for (const image of images) if (isLeft(image)) tell(image);
  return found;
}

/** What would make an image superfluous that no container uses; `undefined` while it is kept. */
function whyUnused(image: Docker.ImageInfo): string | undefined {
  const createdAt = createdAtOf(image);
  const tagged = (image.RepoTags ?? []).some((tag) => tag !== "<none>:<none>");
  const old = olderThan(createdAt, LIMITS.leftoverAgeMs.value);
  const unasked = olderThan(createdAt, LIMITS.builtImageKeptMs.value);
  switch (image.Labels?.[LABELS.image]) {
    case imageKind.kept:
      return old ? "it kept the files of a machine that is gone or was made anew since" : undefined;
    case imageKind.build:
      if (!tagged && old) return "it was built, and built anew since";
      return unasked ? "it was built, and no machine uses it" : undefined;
    case imageKind.step:
      return unasked ? "it is a step of a build, kept to build the same sooner" : undefined;
    default:
      return undefined;
  }
}
