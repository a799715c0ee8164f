/** Fifty creates at once, each with its first command, out of a pool of fifty. */
import { type Benchmark, percentile, round, timed } from "../benchmark.ts";
import { Product } from "../product.ts";

const SANDBOXES = 50;
const P95_MS_MAX = 1000;

interface Burst {
  latencies: number[];
  warm: number;
  failures: string[];
}

async function burst(product: Product): Promise<Burst> {
  const settled = await Promise.allSettled(
    Array.from({ length: SANDBOXES }, () => product.timeToFirstCommand()),
  );
  const succeeded = settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  return {
    latencies: succeeded.map(({ ms }) => ms),
    warm: succeeded.filter(({ warm }) => warm).length,
    failures: settled.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : [])),
  };
}

export const burstDocker: Benchmark = {
  name: "burst-docker",
  needs: ["docker"],
  async measure({ host }) {
    await using product = await Product.start(host, { runtime: "docker", poolSize: SANDBOXES });
    const ours = await burst(product);
    await product.settled();
    const docker = await Promise.all(
      Array.from({ length: SANDBOXES }, () =>
        timed(() => host.run("docker", ["run", "--rm", host.image, "true"])),
      ),
    );
    const succeeded = ours.latencies.length;
    const p95 = succeeded === 0 ? Number.POSITIVE_INFINITY : percentile(ours.latencies, 95);
    return [
      {
        what: "burst of 50 creates + first command, p95",
        unit: "ms",
        value: p95,
        baseline: { what: "50 docker run at once, p95", value: percentile(docker, 95) },
        mustReach: `all succeed, ${P95_MS_MAX} ms`,
        reached: ours.failures.length === 0 && p95 <= P95_MS_MAX,
        samples: succeeded,
        details: {
          succeeded,
          warm: ours.warm,
          median: succeeded === 0 ? "none" : round(percentile(ours.latencies, 50)),
          baselineMedian: round(percentile(docker, 50)),
          ...(ours.failures[0] === undefined ? {} : { firstFailure: ours.failures[0] }),
        },
      },
    ];
  },
};
