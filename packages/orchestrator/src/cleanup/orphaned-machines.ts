import { LIMITS, type MachineId } from "@insien/protocol";
import type { Runtime } from "@insien/runtime";
import type { NodeRows, SandboxRows } from "../db/index.ts";
import type { Finder } from "./finding.ts";

export interface OrphanedMachinesParts {
  runtime: Runtime;
  store: SandboxRows;
  nodes: NodeRows;
  nodeId: string;
  /** Keeps this node's server from starting while it is held; `undefined` while that server runs. */
  holdNode(): Promise<Disposable | undefined>;
}

/**
 * Machines of a node whose server is down, which no sandbox has. A server that runs knows of machines
 * what nobody else does: those that wait in its pool, and those that it is just making. So none is
 * touched while it lives, its reconciler does that; and while one is removed here the node itself is
 * held, so that no server comes up and takes it for a warm one in that moment.
 */
export function orphanedMachines(parts: OrphanedMachinesParts): Finder {
  const { runtime, nodes, nodeId } = parts;
  return {
    kind: "machine",
    find: async (now) => {
      const graceMs = LIMITS.cleanupGraceMs.value;
      const node = await nodes.get(nodeId);
      if (node !== undefined && node.silentMs < graceMs) return [];
      const old = (await runtime.list()).filter(
        ({ createdAt }) => createdAt.getTime() < now.getTime() - graceMs,
      );
      const owners = await ownersOf(
        parts.store,
        old.map(({ machineId }) => machineId),
      );
      return old.flatMap(({ machineId }) => {
        const reason = orphanReason(owners.get(machineId));
        if (reason === undefined) return [];
        return [{ kind: "machine", id: machineId, reason, remove: () => remove(parts, machineId) }];
      });
    },
  };
}

async function remove(parts: OrphanedMachinesParts, machineId: MachineId): Promise<boolean> {
  using held = await parts.holdNode();
  if (held === undefined) return false;
  const owners = await ownersOf(parts.store, [machineId]);
  if (orphanReason(owners.get(machineId)) === undefined) return false;
  return parts.runtime.destroy(machineId);
}

async function ownersOf(
  store: SandboxRows,
  machineIds: readonly MachineId[],
): Promise<Map<MachineId, string>> {
  const rows = await store.byMachines(machineIds);
  return new Map(
    rows.flatMap(({ machineId, state }) => (machineId === undefined ? [] : [[machineId, state]])),
  );
}

/** `undefined` for the machine of a sandbox that may still need it. */
function orphanReason(ownerState: string | undefined): string | undefined {
  if (ownerState === undefined) return "It belongs to no sandbox";
  if (ownerState === "failed") return "Its sandbox failed";
  return ownerState === "destroyed" ? "Its sandbox was destroyed" : undefined;
}
