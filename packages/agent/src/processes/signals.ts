import { constants } from "node:os";

const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));

export const signalNumber = (name: string): number | undefined =>
  Object.entries(constants.signals).find(([known]) => known === name)?.[1];

export interface Ending {
  exitCode?: number;
  signal?: string;
}

/** A wait status as the kernel gives it: the low seven bits are the signal, the next byte the code. */
export function readWaitStatus(status: number): Ending {
  const signal = status & 0x7f;
  if (signal === 0) return { exitCode: (status >> 8) & 0xff };
  return { signal: NAMES.get(signal) ?? `SIG${signal}` };
}
