import { statfs } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import type { Metrics } from "@insien/protocol";
import type { RpcHandlers } from "../rpc/connection.ts";
import { readGroupUsage } from "./control-group.ts";
import { sumProcesses } from "./process-table.ts";

interface MetricsContext {
  /** Whose file system is the sandbox's disk. */
  readonly home: string;
}

/** A directory that is there: an image may lack the home that its user should have. */
async function diskUsage(home: string): Promise<Metrics["disk"]> {
  const system = await statfs(home).catch(() => statfs("/"));
  const totalBytes = system.blocks * system.bsize;
  return { totalBytes, usedBytes: totalBytes - system.bfree * system.bsize };
}

/** From the machine's control group; what that does not tell is added up over its processes. */
async function readMetrics(context: MetricsContext): Promise<Metrics> {
  const [group, disk] = await Promise.all([readGroupUsage(), diskUsage(context.home)]);
  const isComplete =
    group.cpuMs !== undefined && group.memoryBytes !== undefined && group.processes !== undefined;
  const sum = isComplete ? { cpuMs: 0, memoryBytes: 0, processes: 0 } : await sumProcesses();
  return {
    at: new Date().toISOString(),
    cpu: {
      usedMs: Math.round(group.cpuMs ?? sum.cpuMs),
      cores: group.cpuCores ?? availableParallelism(),
    },
    memory: {
      usedBytes: group.memoryBytes ?? sum.memoryBytes,
      limitBytes: group.memoryLimitBytes ?? totalmem(),
    },
    disk,
    processes: group.processes ?? sum.processes,
  };
}

/** Answers to the calls about what the machine uses. */
export function metricsHandlers(context: MetricsContext): RpcHandlers<"metrics"> {
  return { metrics: async () => ({ metrics: await readMetrics(context) }) };
}
