/**
 * Other volumes for a machine that exists. Docker cannot change a container's mounts, so another
 * container takes its place: the files of the old one are kept as an image, and everything else is
 * as it was. Whoever dies midway leaves a container that is complete, under one of the names of
 * machine-labels.ts; what is left besides is found by its name.
 */
import type { MachineId } from "@insien/protocol";
import type { CallOptions, VolumeMount } from "@insien/runtime";
import type Docker from "dockerode";
import { jsonLines, type Engine } from "./engine.ts";
import type { MachineContainers } from "./machine-containers.ts";
import {
  formerName,
  imageKind,
  LABELS,
  networkName,
  nextName,
  stoppedName,
} from "./machine-labels.ts";
import { volumeMount } from "./volume-names.ts";
import type { VolumeShelf } from "./volume-store.ts";

interface Parts {
  engine: Engine;
  ownerId: string;
  containers: MachineContainers;
  shelf: VolumeShelf;
  /** Of an image, before they are made one. */
  imageLayers: number;
}

export interface Remounting {
  machineId: MachineId;
  mounts: readonly VolumeMount[];
}

/** Throws `volume_failed`, or `volume_not_found`, with the machine as it was before. */
export async function remount(
  parts: Parts,
  { machineId, mounts }: Remounting,
  options: CallOptions & { graceMs?: number } = {},
): Promise<{ restarted: boolean }> {
  const { containers, shelf, ownerId } = parts;
  const old = await containers.mustFind(machineId, options);
  const settings = mounts.map((mount) => volumeMount(ownerId, mount));
  if (sameMounts(old, settings)) return { restarted: false };
  // Whatever is wrong with the volumes is found out while the machine still runs.
  await shelf.tryMounts(mounts);
  options.signal?.throwIfAborted();
  await clearAway(parts, machineId);
  const running = old.State.Running;
  const former = running ? undefined : old.Name.slice(1);
  try {
    // From here until it is started, the machine is a stopped one, whatever happens to us.
    await containers.stop(machineId, old, options.graceMs);
    options.signal?.throwIfAborted();
    await replace(parts, { machineId, old, settings, running });
  } catch (cause) {
    await restore(parts, machineId, old, former);
    options.signal?.throwIfAborted();
    throw parts.engine.failure("volume_failed", `giving machine ${machineId} its volumes`, cause);
  }
  await containers.removeContainer(old.Id);
  await containers.removeImages(old.Image);
  return { restarted: running };
}

interface Replacement {
  machineId: MachineId;
  old: Docker.ContainerInspectInfo;
  settings: Docker.MountSettings[];
  running: boolean;
}

async function replace(parts: Parts, replacement: Replacement): Promise<void> {
  const { engine, containers } = parts;
  const { machineId, old, running } = replacement;
  const image = await keepFiles(parts, old);
  const next = await makeNext(parts, replacement, image).catch(async (error: unknown) => {
    await containers.removeImages(image);
    throw error;
  });
  await engine.docker.getContainer(old.Id).rename({ name: formerName(machineId) });
  await next.rename({ name: stoppedName(machineId) });
  if (running) await containers.start(machineId, await next.inspect());
}

/** Brings the old container back into its place. */
async function restore(
  parts: Parts,
  machineId: MachineId,
  old: Docker.ContainerInspectInfo,
  former: string | undefined,
): Promise<void> {
  const { engine, containers } = parts;
  const container = engine.docker.getContainer(old.Id);
  const now = await engine.ask("looking for the machine", () => container.inspect());
  if (now === undefined) return;
  const current = await containers.find(machineId);
  if (current !== undefined && current.Id !== old.Id) {
    await containers.removeContainer(current.Id);
    await containers.removeImages(current.Image);
  }
  if (former === undefined) await containers.start(machineId, await container.inspect());
  else if (now.Name !== `/${former}`) await container.rename({ name: former });
  await clearAway(parts, machineId);
}

/** What an earlier remount that was cut short left besides the machine. */
async function clearAway(
  { engine, containers, ownerId }: Parts,
  machineId: MachineId,
): Promise<void> {
  const machine = await containers.find(machineId);
  for (const nameOf of [nextName, formerName]) {
    const info = await containers.named(nameOf(machineId));
    if (info === undefined || info.Id === machine?.Id) continue;
    await containers.removeContainer(info.Id);
    await containers.removeImages(info.Image);
  }
  // One that no container was made from yet.
  const label = [`${LABELS.owner}=${ownerId}`, `${LABELS.machine}=${machineId}`];
  const images = await engine.docker.listImages({ filters: JSON.stringify({ label }) });
  for (const { Id } of images) if (Id !== machine?.Image) await containers.removeImages(Id);
}

/** The container's files as an image of this machine alone; gives its id. */
async function keepFiles(parts: Parts, old: Docker.ContainerInspectInfo): Promise<string> {
  const { engine, ownerId, imageLayers } = parts;
  const image = await engine.docker.getImage(old.Image).inspect();
  const changes = [
    `LABEL ${LABELS.image}=${imageKind.kept} ${LABELS.owner}=${ownerId}`,
    `LABEL ${LABELS.machine}=${old.Config.Labels[LABELS.machine] ?? ""}`,
  ].join("\n");
  const container = engine.docker.getContainer(old.Id);
  if ((image.RootFS.Layers?.length ?? 0) < imageLayers) {
    const { Id } = (await container.commit({ changes, pause: false })) as { Id: string };
    return Id;
  }
  // Each time adds a layer, of which there may not be many: now all of them become one.
  const files = await container.export();
  const importing = await engine.docker.importImage(files, { changes, repo: "" });
  let id = "";
  for await (const value of jsonLines(importing)) {
    const line = value as { status?: string; error?: string };
    if (line.error !== undefined) throw new Error(line.error);
    if (line.status?.startsWith("sha256:") === true) id = line.status;
  }
  return id;
}

/** The container that will be the machine: never started, but complete. */
async function makeNext(
  { engine, ownerId }: Parts,
  { machineId, old, settings }: Replacement,
  image: string,
): Promise<Docker.Container> {
  const { Config, HostConfig, Mounts } = old;
  const kept = (HostConfig.Mounts ?? []).filter((mount) => !isVolume(mount, ownerId));
  const targets = new Set([...kept, ...settings].map(({ Target }) => Target));
  // What its image declares as volumes has files too, and they are in no layer.
  const declared = Mounts.filter(
    ({ Type, Destination }) => Type === "volume" && !targets.has(Destination),
  ).filter(({ Name = "" }) => /^[0-9a-f]{64}$/.test(Name));
  const carried = declared.map(({ Name = "", Destination }): Docker.MountSettings => ({
    Type: "volume",
    Source: Name,
    Target: Destination,
  }));
  const next = await engine.docker.createContainer({
    ...Config,
    name: nextName(machineId),
    Image: image,
    Volumes: {},
    HostConfig: { ...HostConfig, Mounts: [...kept, ...carried, ...settings] },
  });
  const network = engine.docker.getNetwork(networkName(machineId));
  if (Object.hasOwn(old.NetworkSettings.Networks, networkName(machineId))) {
    await engine.docker.getNetwork("none").disconnect({ Container: next.id });
    await network.connect({ Container: next.id });
  }
  return next;
}

const isVolume = ({ VolumeOptions }: Docker.MountSettings, ownerId: string): boolean =>
  VolumeOptions?.Labels?.[LABELS.owner] === ownerId &&
  Object.hasOwn(VolumeOptions.Labels, LABELS.volume);

function sameMounts(old: Docker.ContainerInspectInfo, settings: Docker.MountSettings[]): boolean {
  const text = (mounts: readonly Docker.MountSettings[]) =>
    JSON.stringify(
      mounts
        .map(({ Source, Target, ReadOnly = false }) => [Target, Source, ReadOnly])
        .toSorted((one, other) => String(one).localeCompare(String(other))),
    );
  const present = (old.HostConfig.Mounts ?? []).filter(({ VolumeOptions }) =>
    Object.hasOwn(VolumeOptions?.Labels ?? {}, LABELS.volume),
  );
  return text(present) === text(settings);
}
