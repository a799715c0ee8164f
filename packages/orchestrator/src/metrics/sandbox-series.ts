import { LIMITS, SANDBOX_STATES } from "@insien/protocol";
import type { SandboxCounts, Usage, UsageRows } from "../db/index.ts";
import { type Family, family, gauge } from "./families.ts";

/** What was not measured for this long has no value of the moment. */
const FRESH_MS = 60_000;

interface Measure {
  name: string;
  type: "counter" | "gauge";
  help: string;
  of: (usage: Usage) => number | undefined;
}

const MEASURES: readonly Measure[] = [
  {
    name: "insien_sandbox_cpu_cores",
    type: "gauge",
    help: "Cores in use.",
    of: (usage) => usage.cpuCores,
  },
  {
    name: "insien_sandbox_memory_bytes",
    type: "gauge",
    help: "Memory in use.",
    of: (usage) => usage.memoryBytes,
  },
  {
    name: "insien_sandbox_memory_limit_bytes",
    type: "gauge",
    help: "Memory that may be used.",
    of: (usage) => usage.memoryLimitBytes,
  },
  {
    name: "insien_sandbox_pids",
    type: "gauge",
    help: "Processes and threads.",
    of: (usage) => usage.pids,
  },
  {
    name: "insien_sandbox_disk_bytes",
    type: "gauge",
    help: "The sandbox's own files, volumes apart.",
    of: (usage) => usage.diskBytes,
  },
  {
    name: "insien_sandbox_network_received_bytes_total",
    type: "counter",
    help: "Received since the machine started.",
    of: (usage) => usage.networkReceivedBytes,
  },
  {
    name: "insien_sandbox_network_sent_bytes_total",
    type: "counter",
    help: "Sent since the machine started.",
    of: (usage) => usage.networkSentBytes,
  },
  {
    name: "insien_sandbox_disk_read_bytes_total",
    type: "counter",
    help: "Read from disks since the machine started.",
    of: (usage) => usage.diskReadBytes,
  },
  {
    name: "insien_sandbox_disk_written_bytes_total",
    type: "counter",
    help: "Written to disks since the machine started.",
    of: (usage) => usage.diskWrittenBytes,
  },
];

export interface SandboxSeriesParts {
  usage: UsageRows;
  nodeId: string;
  /** LIMITS.metricsSandboxes by default. */
  maximum?: number;
}

/** The sandboxes of this node: how many there are, and what each was last measured to use. */
export async function sandboxFamilies(parts: SandboxSeriesParts): Promise<Family[]> {
  const { usage, nodeId, maximum = LIMITS.metricsSandboxes.value } = parts;
  const since = new Date(Date.now() - FRESH_MS);
  const [counts, measured] = await Promise.all([
    usage.countByState(nodeId),
    usage.latest(nodeId, since, maximum),
  ]);
  const leftOut = measured.length < maximum ? 0 : Math.max(0, (counts.running ?? 0) - maximum);
  const newest = Math.max(...measured.map(({ at }) => at.getTime()));
  return [
    statesFamily(counts),
    ...MEASURES.map(({ name, type, help, of }) =>
      family(
        type,
        name,
        help,
        measured.flatMap((each) => {
          const value = of(each);
          return value === undefined ? [] : [{ labels: { sandbox: each.sandboxId }, value }];
        }),
      ),
    ),
    gauge(
      "insien_sandboxes_without_series",
      `Running sandboxes beyond the ${maximum} that have series of their own.`,
      leftOut,
    ),
    ...(measured.length === 0
      ? []
      : [
          gauge(
            "insien_usage_newest_timestamp_seconds",
            "When the newest measurement of a sandbox was made, by whichever monitor.",
            newest / 1000,
          ),
        ]),
  ];
}

const statesFamily = (counts: SandboxCounts): Family =>
  family(
    "gauge",
    "insien_sandboxes",
    "Sandboxes of this node by state, destroyed ones apart.",
    SANDBOX_STATES.filter((state) => state !== "destroyed").map((state) => ({
      labels: { state },
      value: counts[state] ?? 0,
    })),
  );
