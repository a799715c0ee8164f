/**
 * A request to a program in a sandbox, by its host name, beside the same request to the same program
 * on the host: what the orchestrator's and the agent's copying costs. Connections are kept open.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Agent, request as httpRequest } from "node:http";
import { type Benchmark, interleaved, ratioRow, timed } from "../benchmark.ts";
import { Product } from "../product.ts";

const PROGRAM =
  'require("node:http").createServer((_, response) => response.end("x".repeat(1000)))' +
  '.listen(Number(process.argv[1]), "127.0.0.1", function () { console.log(this.address().port) })';
const PORT_INSIDE = 8080;
const SAMPLES_MIN = 200;
const AT_ONCE = 16;
const BURST_REQUESTS = 800;

interface Target {
  port: number;
  headers: Record<string, string>;
}

function get({ port, headers }: Target, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, headers, agent }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`answered ${answer.statusCode}`));
      answer.resume().once("end", resolve);
    });
    request.once("error", reject);
    request.end();
  });
}

async function burst(target: Target, agent: Agent): Promise<void> {
  let left = BURST_REQUESTS;
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await get(target, agent);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

export const previewRequest: Benchmark = {
  name: "preview",
  needs: ["bwrap"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "bubblewrap" });
    await using sandbox = await product.create();
    await sandbox.commands.start(["node", "-e", PROGRAM, String(PORT_INSIDE)], {
      background: true,
    });
    await sandbox.ports.waitFor(PORT_INSIDE);
    const { url, apiKey } = product.server;
    // Open to all: the rate of a key is bounded, and admitting one is not what is measured.
    const opened = await fetch(`${url}/api/v1/sandboxes/${sandbox.id}/ports`, {
      method: "POST",
      headers: { "x-api-key": apiKey, "content-type": "application/json" },
      body: JSON.stringify({ internal: PORT_INSIDE, public: true }),
    });
    if (!opened.ok) throw new Error(`the port was not opened: ${opened.status}`);
    const program = spawn(process.execPath, ["-e", PROGRAM, "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
    try {
      const [line] = (await once(program.stdout, "data")) as [Buffer];
      const direct = { port: Number(String(line)), headers: {} };
      const headers = { host: `${PORT_INSIDE}-${sandbox.id}.localhost` };
      const ours = { port: Number(new URL(url).port), headers };
      const single = await interleaved(Math.max(runs, SAMPLES_MIN), {
        ours: () => timed(() => get(ours, agent)),
        direct: () => timed(() => get(direct, agent)),
      });
      const many = await interleaved(runs, {
        ours: () => timed(() => burst(ours, agent)),
        direct: () => timed(() => burst(direct, agent)),
      });
      return [
        ratioRow(
          "request to a port by host name",
          single.ours,
          { what: "the same program on the host", samples: single.direct },
          { ratioMax: 6, text: "6 × it" },
        ),
        ratioRow(
          `${BURST_REQUESTS} such requests, ${AT_ONCE} at once`,
          many.ours,
          { what: "the same program on the host", samples: many.direct },
          { ratioMax: 12, text: "12 × it" },
        ),
      ];
    } finally {
      agent.destroy();
      program.kill();
    }
  },
};
