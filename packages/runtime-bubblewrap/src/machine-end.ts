/** Ending all processes of a machine, whatever is known about them. */
import { InsienError, LIMITS } from "@insien/protocol";
import type { ControlGroups } from "./control-groups/control-groups.ts";
import type { MachineProcesses, MachineRecord, MachineStore } from "./machine-record.ts";
import {
  ended,
  identify,
  isInPidNamespace,
  signalProcess,
  type ProcessIdentity,
} from "./process-identity.ts";

/**
 * The record's processes, or those that bwrap's own note tells of when the orchestrator died
 * between starting a machine and writing down that it had.
 */
export async function processesOf(
  store: MachineStore,
  record: MachineRecord,
): Promise<(Pick<MachineProcesses, "first"> & Partial<MachineProcesses>) | undefined> {
  if (record.processes !== undefined) return record.processes;
  const { firstPid, pidNamespace } = await store.status(record.machineId);
  if (firstPid === undefined || pidNamespace === undefined) return undefined;
  if (!isInPidNamespace(firstPid, pidNamespace)) return undefined;
  const first = identify(firstPid);
  return first === undefined ? undefined : { first };
}

/** Kills everything; with the first process the kernel kills all others of its namespace. */
export async function endProcesses(
  store: MachineStore,
  record: MachineRecord,
  groups: ControlGroups | undefined,
): Promise<void> {
  const known = Object.values((await processesOf(store, record)) ?? {});
  const deadline = performance.now() + LIMITS.machineEndMs.value;
  let remaining: ProcessIdentity[] = known;
  do {
    for (const identity of remaining) signalProcess(identity, "SIGKILL");
    if (await ended(remaining, LIMITS.machineEndMs.value)) {
      remaining = await membersOf(groups, record);
    }
  } while (remaining.length > 0 && performance.now() < deadline);
  if (remaining.length === 0) return;
  const pids = remaining.map(({ pid }) => pid).join(", ");
  throw new InsienError("internal", `Processes ${pids} of machine ${record.machineId} do not end`);
}

async function membersOf(
  groups: ControlGroups | undefined,
  record: MachineRecord,
): Promise<ProcessIdentity[]> {
  const pids = (await groups?.processes(record.machineId)) ?? [];
  return pids.flatMap((pid) => identify(pid) ?? []);
}
