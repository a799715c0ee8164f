/**
 * One command, there and back, in a sandbox that runs already and on a connection that is open. All
 * sides start the same program and collect what it says on both of its outputs.
 */
import { type Benchmark, interleaved, ratioRow, timed } from "../benchmark.ts";
import { spawnAndRead } from "../host.ts";
import { Product } from "../product.ts";

/** A round trip is short: more samples than elsewhere cost nothing. */
const SAMPLES_MIN = 200;

export const commandRoundTrip: Benchmark = {
  name: "command",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create();
    const container = await host.idleContainer();
    const { exitCode } = await sandbox.runCommand("true");
    if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
    const { ours, spawn, docker } = await interleaved(Math.max(runs, SAMPLES_MIN), {
      ours: () => timed(() => sandbox.runCommand("true")),
      spawn: () => timed(() => spawnAndRead("true", [])),
      docker: () => timed(() => spawnAndRead("docker", ["exec", container, "true"])),
    });
    const what = "command round trip, SDK";
    return [
      ratioRow(
        what,
        ours,
        { what: "child_process.spawn", samples: spawn },
        { ratioMax: 1.5, text: "1.5 × it" },
      ),
      ratioRow(
        what,
        ours,
        { what: "docker exec", samples: docker },
        { ratioMax: 1 / 30, text: "1/30 of it" },
      ),
    ];
  },
};
