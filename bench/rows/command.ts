/** One command, there and back, in a sandbox that runs already. */
import { type Benchmark, interleaved, ratioRow, timed } from "../benchmark.ts";
import { spawnAndRead } from "../host.ts";
import { expectSuccess, Product } from "../product.ts";

export const commandRoundTrip: Benchmark = {
  name: "command",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create();
    const container = await host.idleContainer();
    const { ours, spawn, docker } = await interleaved(Math.max(runs, 50), {
      ours: () => timed(() => expectSuccess(sandbox)),
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
