/**
 * The orchestrator's end of a line, as small as a test can have it: listens on a unix socket, takes
 * agents' connections, and hands out parked ones.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, createServer, request, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";

const TAKE_MS = 5000;

export class LineServer implements AsyncDisposable {
  readonly directory: string;
  readonly #server: Server;
  readonly #parked: Duplex[] = [];
  readonly #streams = new Set<Duplex>();
  readonly #waiting: ((stream: Duplex) => void)[] = [];
  #closed = false;
  /** How many connections agents have made. */
  accepted = 0;
  /** The last dial's request. */
  lastRequest: IncomingMessage | undefined;
  refuse = false;

  private constructor(directory: string, server: Server) {
    this.directory = directory;
    this.#server = server;
    server.on("upgrade", (incoming, socket) => this.#accept(incoming, socket));
  }

  static async listen(directory?: string): Promise<LineServer> {
    const home = directory ?? (await mkdtemp(join(tmpdir(), "insien-line-")));
    await writeFile(join(home, "token"), "test-token\n");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(home, "line.sock"), resolve));
    return new LineServer(home, server);
  }

  get socketPath(): string {
    return join(this.directory, "line.sock");
  }

  get parked(): number {
    return this.#parked.length;
  }

  /** A connection on which the agent is an HTTP server. */
  take(): Promise<Duplex> {
    const stream = this.#parked.shift();
    if (stream !== undefined) return Promise.resolve(stream);
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`no agent dialled within ${TAKE_MS} ms`));
      const timer = setTimeout(late, TAKE_MS);
      this.#waiting.push((arrived) => {
        clearTimeout(timer);
        resolve(arrived);
      });
    });
  }

  /** An RPC WebSocket to the agent. */
  async rpc(path: string = "/rpc"): Promise<WebSocket> {
    const stream = await this.take();
    const socket = new WebSocket(`ws://agent${path}`, {
      createConnection: () => stream as Socket,
      perMessageDeflate: false,
      maxPayload: 64 * 1024 * 1024,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return socket;
  }

  /** A plain request to the agent. */
  async fetch(
    path: string,
    options: { method?: string; body?: string } = {},
  ): Promise<IncomingMessage> {
    const stream = await this.take();
    const agent = new Agent();
    agent.createConnection = () => stream;
    return new Promise((resolve, reject) => {
      const call = request(
        { agent, path, method: options.method ?? "GET", host: "agent" },
        resolve,
      );
      call.once("error", reject);
      call.end(options.body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const stream of this.#streams) stream.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Takes a stream that another carrier than the unix socket brought. */
  park(incoming: IncomingMessage, stream: Duplex): void {
    if (this.#closed) {
      // It was still shaking hands when the rest were closed.
      stream.destroy();
      return;
    }
    this.accepted += 1;
    this.lastRequest = incoming;
    this.#streams.add(stream);
    stream.on("error", () => stream.destroy());
    stream.once("close", () => {
      this.#streams.delete(stream);
      const index = this.#parked.indexOf(stream);
      if (index !== -1) this.#parked.splice(index, 1);
    });
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#parked.push(stream);
    else waiting(stream);
  }

  #accept(incoming: IncomingMessage, stream: Duplex): void {
    if (this.refuse) {
      this.accepted += 1;
      stream.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    stream.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: insien-line\r\n\r\n",
    );
    this.park(incoming, stream);
  }
}
