/** The monitor: inside the server, or as a process of its own beside it. */
import type { ServerMetrics } from "../metrics/server-metrics.ts";
import { Monitor } from "../monitor/monitor.ts";
import { holderOf } from "./holder.ts";
import type { ProcessParts } from "./process-parts.ts";
import { stopSignal } from "./stop-signal.ts";

export function startMonitor(parts: ProcessParts, metrics?: ServerMetrics): Monitor {
  const { config, database, runtime, nodeId, log } = parts;
  return new Monitor({
    ...config.monitor,
    dataDirectory: config.dataDirectory,
    database,
    runtime,
    nodeId,
    holder: holderOf("monitor"),
    log,
    ...(metrics === undefined
      ? {}
      : { onRound: (seconds: number) => metrics.rounds.observe({}, seconds) }),
  });
}

export async function monitor(parts: ProcessParts): Promise<void> {
  const { log, runtime, nodeId } = parts;
  await using _monitor = startMonitor(parts);
  process.stdout.write(`Monitor of node ${nodeId.slice(0, 8)}, on ${runtime.name}\n`);
  await stopSignal(log, "the monitor stops");
}
