/** Our side of a row: a server in a process of its own, and sandboxes through the SDK. */
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox, type SandboxSettings } from "@insien/sandbox";
import { type ServerOptions, startServer, type TestServer, waitFor } from "@insien/test-kit";
import type { Host } from "./host.ts";

const POOL_TIMEOUT_MS = 300_000;
/** After the last machine of a pool was started, until its agent has dialled and all is quiet. */
const QUIET_MS = 500;
const WARM_ATTEMPTS = 20;

export interface ProductOptions extends ServerOptions {
  runtime: "docker" | "bubblewrap";
}

export class Product implements AsyncDisposable {
  readonly server: TestServer;
  readonly #host: Host;
  readonly #options: ProductOptions;

  private constructor(host: Host, server: TestServer, options: ProductOptions) {
    this.#host = host;
    this.server = server;
    this.#options = options;
  }

  static async start(host: Host, options: ProductOptions): Promise<Product> {
    const poolMaximum = String(options.poolSize ?? 0);
    const env = { INSIEN_POOL_MAXIMUM: poolMaximum, ...options.env };
    const product = new Product(host, await startServer({ ...options, env }), options);
    await product.settled();
    return product;
  }

  create(settings: SandboxSettings = {}): Promise<Sandbox> {
    const { apiKey, url } = this.server;
    return Sandbox.create({ apiKey, apiUrl: url, requestTimeoutMs: POOL_TIMEOUT_MS, ...settings });
  }

  /** Milliseconds from nothing to the first command's result; the sandbox is destroyed off the clock. */
  async timeToFirstCommand(): Promise<{ ms: number; warm: boolean }> {
    const begin = performance.now();
    const sandbox = await this.create();
    try {
      await expectSuccess(sandbox);
      const ms = performance.now() - begin;
      return { ms, warm: await wasWarm(sandbox) };
    } finally {
      await sandbox.destroy();
    }
  }

  /** The same, by a warm machine for certain. Ends when the pool is full again and all is quiet. */
  async timeWhenWarm(): Promise<number> {
    for (let attempt = 0; attempt < WARM_ATTEMPTS; attempt += 1) {
      const { ms, warm } = await this.timeToFirstCommand();
      await this.settled();
      if (warm) return ms;
    }
    throw new Error(`no create of ${WARM_ATTEMPTS} found a warm machine`);
  }

  /** Waits until refills are done, so that they compete with no sample. */
  async settled(): Promise<void> {
    const { poolSize = 0, runtime } = this.#options;
    if (poolSize > 0 && runtime === "docker") {
      await waitFor(async () => (await this.machines()).length >= poolSize, {
        timeoutMs: POOL_TIMEOUT_MS,
        intervalMs: 100,
        describe: `a pool of ${poolSize}`,
      });
    }
    await sleep(QUIET_MS);
  }

  /** Ids of this server's running containers (docker only), found by the line they see. */
  async machines(): Promise<string[]> {
    const all = await this.#host.run("docker", [
      "ps",
      "--quiet",
      "--filter",
      "label=insien.machine",
    ]);
    const ids = all.split("\n").filter((id) => id !== "");
    if (ids.length === 0) return [];
    const format = "{{.Id}} {{range .Mounts}}{{.Source}} {{end}}";
    const inspected = await this.#host.run("docker", ["inspect", "--format", format, ...ids]);
    return inspected
      .split("\n")
      .filter((line) => line.includes(this.server.dataDirectory))
      .map((line) => line.split(" ")[0] ?? "");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

async function wasWarm(sandbox: Sandbox): Promise<boolean> {
  for await (const event of sandbox.events()) {
    if (event.type === "sandbox.created") return event.data["warm"] === true;
  }
  return false;
}

export async function expectSuccess(sandbox: Sandbox): Promise<void> {
  const { exitCode, stderr } = await sandbox.commands.run(["true"]);
  if (exitCode !== 0) throw new Error(`true ended with ${exitCode}: ${stderr}`);
}
