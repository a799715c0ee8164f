/** The cleanup worker: inside the server, or as a process of its own beside it. */
import type { CleanupItem } from "@insien/protocol";
import { Duty } from "../app/duty.ts";
import { SandboxMoves } from "../app/sandbox-moves.ts";
import { VolumeStorage } from "../app/volume-storage.ts";
import { Cleanup } from "../cleanup/cleanup.ts";
import { expiredSandboxes } from "../cleanup/expired-sandboxes.ts";
import { endedPorts } from "../cleanup/ended-ports.ts";
import { oldRecords } from "../cleanup/old-records.ts";
import { orphanedMachines } from "../cleanup/orphaned-machines.ts";
import { leftovers, unusedVolumes } from "../cleanup/unused-storage.ts";
import type { ServerMetrics } from "../metrics/server-metrics.ts";
import { holderOf } from "./holder.ts";
import type { ProcessParts } from "./process-parts.ts";
import { stopSignal } from "./stop-signal.ts";

export interface CleanupOptions {
  metrics?: ServerMetrics;
  /** Absent inside the server, whose reconciler looks after its machines itself. */
  holdNode?: () => Promise<Disposable | undefined>;
}

export function createCleanup(parts: ProcessParts, options: CleanupOptions = {}): Cleanup {
  const { config, database, runtime, nodeId, log } = parts;
  const { sandboxes: store, volumes: rows, nodes } = database;
  const { metrics, holdNode } = options;
  const { imageRetentionMs, recordRetentionMs: retentionMs } = config.worker;
  const storage = new VolumeStorage({ rows, runtime, nodeId, log });
  return new Cleanup({
    finders: [
      expiredSandboxes({ store, moves: new SandboxMoves(store, nodeId) }),
      ...(holdNode === undefined
        ? []
        : [orphanedMachines({ runtime, store, nodes, nodeId, holdNode })]),
      unusedVolumes({ storage, rows, nodeId }),
      leftovers({ runtime, imageRetentionMs }),
      endedPorts(database.sandboxPorts),
      oldRecords({ store, retentionMs }),
    ],
    log,
    ...(metrics === undefined
      ? {}
      : { onRemoved: (kind, outcome) => metrics.cleaned.add({ kind, outcome }) }),
  });
}

/** One worker of a node works at a time; the others stand by. */
export function startWorker(parts: ProcessParts, cleanup: Cleanup): Duty {
  const { config, database, nodeId, log } = parts;
  return new Duty({
    name: `worker:${nodeId}`,
    holder: holderOf("worker"),
    leases: database.kind === "embedded" ? undefined : database.leases,
    everyMs: config.worker.intervalMs,
    round: async (signal) => void (await cleanup.run({ dryRun: false, signal })),
    log,
  });
}

export async function worker(
  parts: ProcessParts,
  holdNode: () => Promise<Disposable | undefined>,
  flags: ReadonlySet<string>,
): Promise<void> {
  const { log, runtime, nodeId } = parts;
  const cleanup = createCleanup(parts, { holdNode });
  const dryRun = flags.has("dry-run");
  if (dryRun || flags.has("once")) {
    const items = await cleanup.run({ dryRun });
    process.stdout.write(listed(items, dryRun));
    return;
  }
  await using _duty = startWorker(parts, cleanup);
  process.stdout.write(`Cleanup worker of node ${nodeId.slice(0, 8)}, on ${runtime.name}\n`);
  await stopSignal(log, "the cleanup worker stops");
}

function listed(items: readonly CleanupItem[], dryRun: boolean): string {
  if (items.length === 0) return "There is nothing that nobody owns.\n";
  const lines = items.map(({ kind, id, reason, bytes, removed, error }) => {
    const done = dryRun ? "would be removed" : removed === true ? "removed" : "not removed";
    const size = bytes === undefined ? "" : `, ${bytes} bytes`;
    return `${kind} ${id}: ${error ?? done}. ${reason}${size}\n`;
  });
  return lines.join("");
}
