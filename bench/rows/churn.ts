/** Five hundred sandboxes come and go, eight at a time: what they leave behind. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox } from "@insien/sandbox";
import { type Benchmark, round } from "../benchmark.ts";
import { type Host, memory } from "../host.ts";
import { Product } from "../product.ts";

const SANDBOXES = 500;
const AT_ONCE = 8;
const GROWTH_MIB_MAX = 32;
/** What ends does so off the clock of its destroy: names of networks, closing sockets. */
const SETTLE_MS = 10_000;
/** Kept by pools of connections, whatever is done with them. */
const DESCRIPTORS_SPARE = 8;

interface Traces {
  containers: number;
  networks: number;
  volumes: number;
  mounts: number;
  descriptors: number;
  sandboxes: number;
}

export const churnDocker: Benchmark = {
  name: "churn-docker",
  needs: ["docker"],
  async measure({ host }) {
    await using product = await Product.start(host, { runtime: "docker", poolSize: AT_ONCE });
    // The first ones load what is loaded once.
    await churn(product, SANDBOXES / 10);
    await settle(product);
    const before = await tracesOf(host, product);
    const begin = performance.now();
    await churn(product, SANDBOXES / 2);
    await settle(product);
    const middleMiB = memory.residentMiB(product.server.pid);
    await churn(product, SANDBOXES / 2);
    await settle(product);
    const growth = memory.residentMiB(product.server.pid) - middleMiB;
    const seconds = (performance.now() - begin) / 1000;
    const after = await tracesOf(host, product);
    const left = leftOf(before, after);
    const total = Object.values(left).reduce((sum, count) => sum + count, 0);
    return [
      {
        what: `${SANDBOXES} created and destroyed, ${AT_ONCE} at a time: things left behind`,
        unit: "things",
        value: total,
        mustReach: "0 things",
        reached: total === 0,
        samples: SANDBOXES,
        details: { ...left, secondsPerSandbox: round((seconds * AT_ONCE) / SANDBOXES) },
      },
      {
        what: "orchestrator's memory grows in the second half of them by",
        unit: "MiB",
        value: Math.max(0, growth),
        mustReach: `${GROWTH_MIB_MAX} MiB`,
        reached: growth <= GROWTH_MIB_MAX,
        samples: SANDBOXES / 2,
        details: { middle: round(middleMiB), difference: round(growth) },
      },
    ];
  },
};

/** Every fifth with what leaves most behind: a network, a volume, a published port. */
async function churn(product: Product, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, number) => number).values();
  const lane = async (): Promise<void> => {
    for (const number of numbers) {
      const sandbox = await product.create(number % 5 === 0 ? settingsOf(number) : {});
      await sandbox.runCommand("true");
      await sandbox.destroy();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

const settingsOf = (number: number) => ({
  network: number % 2 === 0 ? ("internet" as const) : ("none" as const),
  volumes: { data: { mountPath: "/data" } },
  ports: [{ internal: 8080 }],
});

async function settle(product: Product): Promise<void> {
  await product.settled();
  await sleep(SETTLE_MS);
}

async function tracesOf(host: Host, product: Product): Promise<Traces> {
  const { apiKey, url, pid } = product.server;
  const lines = async (args: readonly string[]): Promise<number> =>
    (await host.run("docker", args)).split("\n").filter((line) => line !== "").length;
  return {
    containers: await lines(["ps", "--all", "--quiet"]),
    networks: await lines(["network", "ls", "--quiet"]),
    volumes: await lines(["volume", "ls", "--quiet"]),
    mounts: readFileSync("/proc/self/mounts", "utf8").split("\n").length,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    sandboxes: (await Array.fromAsync(Sandbox.list({ apiKey, apiUrl: url }))).length,
  };
}

function leftOf(before: Traces, after: Traces): Traces {
  const left = (name: keyof Traces): number => Math.max(0, after[name] - before[name]);
  return {
    containers: left("containers"),
    networks: left("networks"),
    volumes: left("volumes"),
    mounts: left("mounts"),
    descriptors: Math.max(0, left("descriptors") - DESCRIPTORS_SPARE),
    sandboxes: left("sandboxes"),
  };
}
