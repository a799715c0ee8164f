/** What it costs to do nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, median, round } from "../benchmark.ts";
import { type Host, memory } from "../host.ts";
import { expectSuccess, Product } from "../product.ts";

const AGENT_MIB_MAX = 25;
const ORCHESTRATOR_MIB_MAX = 150;
const SANDBOXES = 20;
const IDLE_MS = 5000;
const SAMPLE_EVERY_MS = 250;

async function firstProcess(host: Host, container: string): Promise<number> {
  return Number(await host.run("docker", ["inspect", "--format", "{{.State.Pid}}", container]));
}

export const idleSandbox: Benchmark = {
  name: "idle-sandbox",
  needs: ["docker"],
  async measure({ host }) {
    await using product = await Product.start(host, { runtime: "docker", poolSize: SANDBOXES });
    const sleeper = await firstProcess(host, await host.idleContainer());
    // One that has worked, beside those that never did.
    await using sandbox = await product.create();
    await expectSuccess(sandbox);
    await product.settled();
    await sleep(IDLE_MS);
    const machines = await product.machines();
    const samples = await Promise.all(
      machines.map(async (id) => memory.proportionalMiB(await firstProcess(host, id))),
    );
    return [
      {
        what: "idle sandbox, docker: agent's PSS",
        unit: "MiB",
        value: median(samples),
        baseline: { what: "idle sleep container", value: memory.proportionalMiB(sleeper) },
        mustReach: `${AGENT_MIB_MAX} MiB`,
        reached: median(samples) <= AGENT_MIB_MAX,
        samples: samples.length,
        details: { most: round(Math.max(...samples)), sandboxes: samples.length },
      },
    ];
  },
};

export const idleOrchestrator: Benchmark = {
  name: "idle-orchestrator",
  needs: ["bwrap"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "bubblewrap" });
    await using sandbox = await product.create();
    await expectSuccess(sandbox);
    await sleep(IDLE_MS);
    const samples: number[] = [];
    for (let sample = 0; sample < runs; sample += 1) {
      samples.push(memory.residentMiB(product.server.pid));
      await sleep(SAMPLE_EVERY_MS);
    }
    return [
      {
        what: "idle orchestrator: RSS",
        unit: "MiB",
        value: median(samples),
        mustReach: `${ORCHESTRATOR_MIB_MAX} MiB`,
        reached: median(samples) <= ORCHESTRATOR_MIB_MAX,
        samples: samples.length,
        details: { most: round(Math.max(...samples)) },
      },
    ];
  },
};
