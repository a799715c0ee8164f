/** What it costs to do nothing. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, median, round } from "../benchmark.ts";
import { type Host, memory } from "../host.ts";
import { expectSuccess, Product } from "../product.ts";

const AGENT_MIB_MAX = 25;
const ORCHESTRATOR_MIB_MAX = 150;
const SANDBOXES_MIN = 20;
const IDLE_MS = 5000;
const SAMPLE_EVERY_MS = 250;

async function firstProcess(host: Host, container: string): Promise<number> {
  return Number(await host.run("docker", ["inspect", "--format", "{{.State.Pid}}", container]));
}

/** Sandboxes that have each run a command and wait for the next; no warm machine is among them. */
export const idleSandbox: Benchmark = {
  name: "idle-sandbox",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    const sleeper = await firstProcess(host, await host.idleContainer());
    await expectSuccess(await product.create());
    await sleep(IDLE_MS);
    const [alone = 0] = await agentsMiB(host, product);
    for (let count = 1; count < Math.max(runs, SANDBOXES_MIN); count += 1) {
      await expectSuccess(await product.create());
    }
    await sleep(IDLE_MS);
    const samples = await agentsMiB(host, product);
    return [
      {
        what: "idle sandbox, docker: agent's PSS",
        unit: "MiB",
        value: median(samples),
        baseline: { what: "idle sleep container", value: memory.proportionalMiB(sleeper) },
        mustReach: `${AGENT_MIB_MAX} MiB`,
        reached: median(samples) <= AGENT_MIB_MAX,
        samples: samples.length,
        // One sandbox alone shares its program's pages with nobody.
        details: { most: round(Math.max(...samples)), alone: round(alone) },
      },
    ];
  },
};

async function agentsMiB(host: Host, product: Product): Promise<number[]> {
  const machines = await product.machines();
  return Promise.all(
    machines.map(async (id) => memory.proportionalMiB(await firstProcess(host, id))),
  );
}

/** The orchestrator itself; its children, such as the embedded database, are told in the details. */
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
        details: {
          most: round(Math.max(...samples)),
          childProcesses: round(memory.childrenMiB(product.server.pid)),
        },
      },
    ];
  },
};
