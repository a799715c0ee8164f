/** How machines are written down in Docker itself, which is all that survives an orchestrator. */
import type { MachineId } from "@insien/protocol";
import type { MachineSpec } from "@insien/runtime";

export const LABELS = {
  owner: "insien.owner",
  machine: "insien.machine",
  template: "insien.template",
  fingerprint: "insien.fingerprint",
  createdAt: "insien.created-at",
  /** On containers that only help for a moment: the machine they help. */
  helper: "insien.helper",
  /** On volumes: their id. */
  volume: "insien.volume",
  /** On images that were made here: what for. */
  image: "insien.image",
  /**
   * On images built from a context: the reference, which has the context's hash in it; on their
   * steps: whose they are.
   */
  context: "insien.context",
  /** On containers that hold the network of a build: its id. */
  build: "insien.build",
} as const;

/** Values of the image label. */
export const imageKind = {
  /** Built from somebody's context. */
  build: "build",
  /** What a build left on its way. */
  step: "step",
  /** The files of a machine that was made anew. */
  kept: "kept",
} as const;

/** Before the caller's own labels, so that none can pass for one of ours. */
const CALLER_PREFIX = "insien.label.";

export type Labels = Readonly<Record<string, string>>;

export const containerName = (machineId: MachineId): string => `insien-${machineId}`;
/**
 * A stopped machine's container is renamed: Docker itself does not remember whether a container was
 * stopped or ended, and labels of a container cannot be changed.
 */
export const stoppedName = (machineId: MachineId): string => `insien-${machineId}-stopped`;
/** The container that is to take the machine's place, complete but never started. */
export const nextName = (machineId: MachineId): string => `insien-${machineId}-next`;
/** The container whose place was taken, until that has proved itself. */
export const formerName = (machineId: MachineId): string => `insien-${machineId}-former`;
/** What makes the home writable of a machine whose root is not. */
export const homeVolumeName = (machineId: MachineId): string => `insien-home-${machineId}`;
/**
 * All names that a machine's container may have. Whichever exists and comes first is the machine;
 * while one is made anew (remount.ts) there are two, and a crash at any moment leaves one that is
 * complete. Under the last two it is stopped.
 */
export const containerNames = (machineId: MachineId): string[] =>
  [containerName, stoppedName, nextName, formerName].map((nameOf) => nameOf(machineId));
export const networkName = (machineId: MachineId): string => `insien-${machineId}`;

/**
 * A label of an image that its containers would inherit and that speaks for us; one that a build here
 * put on it does not count.
 */
export function reservedLabel(labels: Labels): string | undefined {
  const own = new Set<string>([LABELS.owner, LABELS.image, LABELS.context]);
  return Object.keys(labels).find((key) => key.startsWith("insien.") && !own.has(key));
}

export function labelsOf(
  spec: MachineSpec,
  ownerId: string,
  createdAt: Date,
): Record<string, string> {
  const own = {
    [LABELS.owner]: ownerId,
    [LABELS.machine]: spec.machineId,
    [LABELS.template]: spec.template.name,
    [LABELS.fingerprint]: spec.template.fingerprint,
    [LABELS.createdAt]: createdAt.toISOString(),
  };
  const callers = Object.entries(spec.labels).map(([key, value]) => [CALLER_PREFIX + key, value]);
  return { ...own, ...Object.fromEntries(callers) };
}

export function callerLabels(labels: Labels): Record<string, string> {
  const own = Object.entries(labels).filter(([key]) => key.startsWith(CALLER_PREFIX));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(CALLER_PREFIX.length), value]));
}
