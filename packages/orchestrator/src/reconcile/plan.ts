import type { MachineId, SandboxId, SandboxState } from "@insien/protocol";
import type { Machine } from "@insien/runtime";
import { endOf } from "../app/machine-end.ts";

/** What the database says of one sandbox of this node. */
export interface Wanted {
  id: SandboxId;
  state: SandboxState;
  machineId: MachineId | undefined;
}

export interface Observed {
  wanted: readonly Wanted[];
  machines: readonly Machine[];
  /** Sandboxes and machines that some call of this process is working on right now. */
  isBusy(sandboxId: SandboxId): boolean;
  isInFlight(machineId: MachineId): boolean;
  /** Warm machines that the pool holds. */
  isPooled(machineId: MachineId): boolean;
}

export type Action =
  /** Listen for this machine's agent and keep the sandbox as it is. */
  | { type: "adopt"; id: SandboxId; machineId: MachineId }
  /** A create that a crash cut short: its machine may still come up. */
  | { type: "finishCreate"; id: SandboxId; machineId: MachineId }
  | { type: "finishStop"; id: SandboxId; machineId: MachineId }
  | { type: "finishDestroy"; id: SandboxId; machineId: MachineId | undefined }
  | { type: "fail"; id: SandboxId; reason: string }
  /** It failed, and its machine or something else of it may still be there. */
  | { type: "finishFail"; id: SandboxId }
  /** Nobody's machine, made for the pool: take it in, or remove it where the pool does not want it. */
  | { type: "offerToPool"; machine: Machine }
  | { type: "removeMachine"; machineId: MachineId; reason: string };

/**
 * Compares what should be with what is, and says what to do about it. Pure: no clock, no I/O, no
 * choice left to whoever carries it out; the same picture gives the same plan, and a plan that was
 * carried out gives an empty next one.
 */
export function plan(observed: Observed): Action[] {
  const machines = new Map(observed.machines.map((machine) => [machine.machineId, machine]));
  const owned = new Set(
    observed.wanted.flatMap((each) => (each.machineId === undefined ? [] : [each.machineId])),
  );
  const actions: Action[] = [];
  for (const wanted of observed.wanted) {
    if (observed.isBusy(wanted.id)) continue;
    const machine = wanted.machineId === undefined ? undefined : machines.get(wanted.machineId);
    const action = planSandbox(wanted, machine);
    if (action !== undefined) actions.push(action);
  }
  for (const machine of observed.machines) {
    const { machineId } = machine;
    if (owned.has(machineId) || observed.isInFlight(machineId) || observed.isPooled(machineId))
      continue;
    actions.push(
      machine.labels["purpose"] === "pool" && machine.state === "running"
        ? { type: "offerToPool", machine }
        : { type: "removeMachine", machineId, reason: "It belongs to no sandbox" },
    );
  }
  return actions;
}

function planSandbox(wanted: Wanted, machine: Machine | undefined): Action | undefined {
  const { id } = wanted;
  switch (wanted.state) {
    case "creating":
      return machine?.state === "running"
        ? { type: "finishCreate", id, machineId: machine.machineId }
        : { type: "fail", id, reason: "The server was restarted while the sandbox was made" };
    case "running":
    case "pausing":
      if (machine?.state === "running") return { type: "adopt", id, machineId: machine.machineId };
      return { type: "fail", id, reason: endOf(machine) };
    case "stopping":
      return machine === undefined
        ? { type: "fail", id, reason: endOf(machine) }
        : { type: "finishStop", id, machineId: machine.machineId };
    case "stopped":
    case "paused":
      return machine === undefined ? { type: "fail", id, reason: endOf(machine) } : undefined;
    case "destroying":
      return { type: "finishDestroy", id, machineId: wanted.machineId };
    case "failed":
      // Once all is cleared away, the row names no machine.
      return wanted.machineId === undefined ? undefined : { type: "finishFail", id };
    case "destroyed":
      return machine === undefined
        ? undefined
        : {
            type: "removeMachine",
            machineId: machine.machineId,
            reason: "Its sandbox was destroyed",
          };
  }
}
