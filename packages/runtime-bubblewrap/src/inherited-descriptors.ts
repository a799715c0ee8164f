/**
 * Descriptors that this process got from whoever started it and that would pass on to every program
 * it starts, machines included. Node marks its own as close-on-exec, but not those it was given;
 * one of them might be a directory of the host.
 */
import { readdirSync, readFileSync } from "node:fs";

const CLOSE_ON_EXEC = 0o2000000;
const FIRST_UNNAMED = 3;

/** Their numbers, without standard input and outputs. */
export function inheritedDescriptors(): number[] {
  const numbers = readdirSync("/proc/self/fd").map(Number);
  return numbers.filter((number) => number >= FIRST_UNNAMED && passesOn(number));
}

function passesOn(number: number): boolean {
  try {
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, "utf8"));
    return flags?.[1] !== undefined && (Number.parseInt(flags[1], 8) & CLOSE_ON_EXEC) === 0;
  } catch {
    // The listing's own descriptor is closed by now.
    return false;
  }
}

/**
 * What to give to `spawn` as `stdio` so that the child has the wanted descriptors and, in place of
 * every inherited one beyond them, `harmless` instead.
 */
export function coverInherited<Entry>(
  wanted: readonly Entry[],
  inherited: readonly number[],
  harmless: Entry | "ignore",
): Array<Entry | "ignore"> {
  const last = Math.max(wanted.length - 1, ...inherited);
  return Array.from({ length: last + 1 }, (_, number) => {
    const entry = wanted[number];
    if (entry !== undefined) return entry;
    return inherited.includes(number) ? harmless : "ignore";
  });
}
