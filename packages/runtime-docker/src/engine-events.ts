import { Readable } from "node:stream";
import type { MachineId } from "@insien/protocol";
import { jsonLines, type Engine } from "./engine.ts";
import { LABELS } from "./machine-labels.ts";

export interface ContainerEnd {
  machineId: MachineId;
  removed: boolean;
  at: Date;
}

interface EventLine {
  Action: string;
  Actor: { Attributes: Record<string, string> };
  time: number;
  timeNano: number;
}

/** Follows the Engine's events until the signal aborts or the daemon goes away. */
export async function* containerEnds(
  engine: Engine,
  ownerId: string,
  options: { since: Date; signal: AbortSignal },
): AsyncGenerator<ContainerEnd> {
  const { since, signal } = options;
  const filters = {
    type: ["container"],
    event: ["die", "destroy"],
    label: [`${LABELS.owner}=${ownerId}`],
  };
  // The signal may abort while the daemon has yet to answer, and that wait must end as well.
  const stream = await engine.docker.getEvents({
    since: since.getTime() / 1000,
    filters: JSON.stringify(filters),
    abortSignal: signal,
  });
  if (!(stream instanceof Readable)) return;
  const stop = () => void stream.destroy();
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    for await (const value of jsonLines(stream)) {
      const { Action, Actor, timeNano } = value as EventLine;
      const machineId = Actor.Attributes[LABELS.machine] as MachineId | undefined;
      if (machineId === undefined) continue;
      yield { machineId, removed: Action === "destroy", at: new Date(timeNano / 1e6 + 1) };
    }
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
