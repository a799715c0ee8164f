import type { Machine } from "@insien/runtime";

/** Why a machine that should run does not, as a sentence for its sandbox's owner. */
export function endOf(machine: Machine | undefined): string {
  if (machine === undefined) return "The machine is gone: it was removed from outside";
  return `The machine ended: ${machine.exitReason ?? "no reason was given"}`;
}
