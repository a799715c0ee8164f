/** Two hundred sandboxes at once: what it costs to list them, to measure them, and to have them. */
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox } from "@insien/sandbox";
import { type Benchmark, median, percentile, type Row, round, timed } from "../benchmark.ts";
import { type Host, memory, processorSeconds } from "../host.ts";
import { expectSuccess, Product } from "../product.ts";

const SANDBOXES = 200;
const AT_ONCE = 4;
const SMALL = { memory: "64m", cpu: 0.5 };
const LISTS_MIN = 100;
const LIST_P95_MS_MAX = 50;
const ROUND_MS_MAX = 5_000;
const CORES_MAX = 0.5;
const ORCHESTRATOR_MIB_MAX = 300;
/** Long enough for a dozen rounds of the monitor. */
const WATCH_MS = 60_000;
const ROUND_METRIC = "insien_monitor_round_duration_seconds";

export const fleetDocker: Benchmark = {
  name: "fleet-docker",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await fill(product);
    const lists = await listRow(host, product, runs);
    const monitor = await monitorRows(host, product);
    return [lists, ...monitor, residentRow(product)];
  },
};

async function fill(product: Product): Promise<void> {
  const numbers = Array.from({ length: SANDBOXES }, (_, number) => number).values();
  const lane = async (): Promise<void> => {
    for (const number of numbers) {
      const sandbox = await product.create({ name: `fleet-${number}`, resources: SMALL });
      await expectSuccess(sandbox);
      sandbox.disconnect();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function listRow(host: Host, product: Product, runs: number): Promise<Row> {
  const { apiKey, url } = product.server;
  const ours: number[] = [];
  const docker: number[] = [];
  for (let sample = 0; sample < Math.max(runs, LISTS_MIN); sample += 1) {
    ours.push(
      await timed(async () => {
        const all = await Array.fromAsync(Sandbox.list({ apiKey, apiUrl: url }));
        if (all.length !== SANDBOXES) throw new Error(`${all.length} sandboxes were listed`);
      }),
    );
    if (sample < runs) docker.push(await timed(() => host.run("docker", ["ps", "--quiet"])));
  }
  const p95 = percentile(ours, 95);
  return {
    what: `list of ${SANDBOXES} sandboxes through the SDK, p95`,
    unit: "ms",
    value: p95,
    baseline: { what: "docker ps, p95", value: percentile(docker, 95) },
    mustReach: `${LIST_P95_MS_MAX} ms`,
    reached: p95 <= LIST_P95_MS_MAX,
    samples: ours.length,
    details: { median: round(median(ours)), baselineMedian: round(median(docker)) },
  };
}

async function monitorRows(host: Host, product: Product): Promise<Row[]> {
  const before = await rounds(product);
  const spent = processorSeconds(product.server.pid);
  await sleep(WATCH_MS);
  const after = await rounds(product);
  const cores = (processorSeconds(product.server.pid) - spent) / (WATCH_MS / 1000);
  const count = after.count - before.count;
  const roundMs = ((after.seconds - before.seconds) / Math.max(count, 1)) * 1000;
  const stats = await timed(() => host.run("docker", ["stats", "--no-stream"]));
  return [
    {
      what: `monitor's round over ${SANDBOXES} sandboxes, mean`,
      unit: "ms",
      value: roundMs,
      baseline: { what: "docker stats --no-stream", value: stats },
      mustReach: `${ROUND_MS_MAX} ms`,
      reached: count > 0 && roundMs < ROUND_MS_MAX,
      samples: count,
    },
    {
      what: `orchestrator, monitor and database with ${SANDBOXES} idle sandboxes`,
      unit: "cores",
      value: cores,
      mustReach: `${CORES_MAX} cores`,
      reached: cores < CORES_MAX,
      samples: 1,
      details: { seconds: WATCH_MS / 1000 },
    },
  ];
}

async function rounds(product: Product): Promise<{ count: number; seconds: number }> {
  const { apiKey, url } = product.server;
  const answer = await fetch(`${url}/metrics`, { headers: { "x-api-key": apiKey } });
  const text = await answer.text();
  const value = (name: string): number => {
    const found = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
    if (found === undefined) throw new Error(`/metrics has no ${name}`);
    return Number(found);
  };
  return { count: value(`${ROUND_METRIC}_count`), seconds: value(`${ROUND_METRIC}_sum`) };
}

function residentRow(product: Product): Row {
  const value = memory.residentMiB(product.server.pid);
  return {
    what: `orchestrator's RSS with ${SANDBOXES} sandboxes`,
    unit: "MiB",
    value,
    mustReach: `${ORCHESTRATOR_MIB_MAX} MiB`,
    reached: value <= ORCHESTRATOR_MIB_MAX,
    samples: 1,
    details: { childProcesses: round(memory.childrenMiB(product.server.pid)) },
  };
}
