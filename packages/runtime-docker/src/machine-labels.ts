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
export const networkName = (machineId: MachineId): string => `insien-${machineId}`;

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
