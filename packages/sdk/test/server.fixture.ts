import { existsSync } from "node:fs";
import * as net from "node:net";
import { mustHave, startServer, type TestServer } from "@insien/test-kit";
import { Sandbox, type SandboxOptions } from "@insien/sandbox";

export const hasBubblewrap = mustHave(existsSync("/usr/bin/bwrap"), "bubblewrap");

/** Stands between SDK and server, and can break every connection at once, as a crash does. */
class BreakableWay implements AsyncDisposable {
  targetPort = 0;
  readonly #pairs = new Set<[net.Socket, net.Socket]>();
  readonly #server = net.createServer((client) => this.#join(client));

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  break(): void {
    for (const [client, server] of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.break();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: net.Socket): void {
    const server = net.connect(this.targetPort, "127.0.0.1");
    const pair: [net.Socket, net.Socket] = [client, server];
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client]] as [net.Socket, net.Socket][]) {
      from.setNoDelay(true);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }
}

/** A real orchestrator with bubblewrap sandboxes, reached through a way that tests can break. */
export class SdkServer implements AsyncDisposable {
  readonly way: BreakableWay;
  readonly server: TestServer;

  constructor(way: BreakableWay, server: TestServer) {
    this.way = way;
    this.server = server;
  }

  static async start(): Promise<SdkServer> {
    const way = new BreakableWay();
    await way.listen();
    const env = { INSIEN_PUBLIC_URL: way.url };
    const server = await startServer({ runtime: "bubblewrap", poolSize: 1, env });
    way.targetPort = Number(new URL(server.url).port);
    return new SdkServer(way, server);
  }

  get options(): { apiKey: string; apiUrl: string } {
    return { apiKey: this.server.apiKey, apiUrl: this.way.url };
  }

  create(options: SandboxOptions = {}): Promise<Sandbox> {
    return Sandbox.create({ ...this.options, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.way[Symbol.asyncDispose]();
  }
}
