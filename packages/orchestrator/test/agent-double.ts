import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import {
  Agent,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  createServer,
} from "node:http";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { InsienError } from "@insien/protocol";
import { type WebSocket, WebSocketServer } from "ws";
import type { AgentConnector } from "../src/line/agent-connector.ts";

/**
 * A server that speaks as an agent does on its line, for tests of the doors: `/rpc` and `/ports`
 * over WebSocket, `/files` over HTTP, on a unix socket of its own.
 */
export class AgentDouble implements AgentConnector, AsyncDisposable {
  readonly httpAgent: Agent;
  readonly taken: Socket[] = [];
  /** Of every request and upgrade that arrived. */
  readonly seen: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];
  /** Requests that are being answered. */
  busy = 0;
  /** What to do with a new WebSocket; by default everything is echoed. */
  onWebSocket: (socket: WebSocket, url: string) => void = echo;
  /** What to do with an upgrade before a WebSocket comes of it; `true` when it was dealt with. */
  onUpgrade: (socket: Duplex, url: string) => boolean = () => false;
  /** The program on every port inside; absent: nothing listens. */
  onConnect: ((socket: Duplex) => void) | undefined;
  /** What to do with a plain request before it is answered; `true` when it was dealt with. */
  onRequest: (request: IncomingMessage) => boolean = () => false;
  readonly #directory: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #rawSockets = new WeakMap<WebSocket, Duplex>();
  readonly #lost = new AbortController();

  static async start(): Promise<AgentDouble> {
    const directory = await mkdtemp(join(tmpdir(), "insien-agent-double-"));
    const double = new AgentDouble(directory);
    await new Promise<void>((resolve) => double.#server.listen(double.#path, resolve));
    return double;
  }

  private constructor(directory: string) {
    this.#directory = directory;
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.on("connection", (socket) => this.#sockets.add(socket));
    this.#server.on("connect", (request, socket) => {
      this.#remember(request);
      const program = this.onConnect;
      socket.on("error", () => socket.destroy());
      if (program === undefined) {
        socket.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        return;
      }
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      program(socket);
    });
    const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    this.#server.on("upgrade", (request, socket, head) => {
      this.#remember(request);
      const url = request.url ?? "";
      if (this.onUpgrade(socket, url)) return;
      webSockets.handleUpgrade(request, socket, head, (each) => {
        this.#rawSockets.set(each, socket);
        this.onWebSocket(each, url);
      });
    });
    this.httpAgent = new Agent({ keepAlive: true });
    this.httpAgent.createConnection = () => connect(this.#path);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Where the double keeps the file called `name`. */
  file(name: string): string {
    return join(this.#directory, name.replaceAll("/", "_"));
  }

  take(): Promise<Duplex> {
    if (this.lost.aborted) return Promise.reject(this.lost.reason as Error);
    const socket = connect(this.#path);
    this.taken.push(socket);
    return new Promise((resolve, reject) => {
      socket.once("connect", () => resolve(socket));
      socket.once("error", reject);
    });
  }

  /** The socket under a WebSocket, to write what no library would. */
  rawSocketOf(webSocket: WebSocket): Duplex {
    const socket = this.#rawSockets.get(webSocket);
    if (socket === undefined) throw new Error("this WebSocket is not the double's");
    return socket;
  }

  /** The machine ends: what the orchestrator learns of it. */
  lose(message = "The machine was killed: out of memory"): void {
    this.#lost.abort(new InsienError("machine_lost", message));
  }

  /** Every connection breaks, as when the agent's process is killed. */
  kill(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.httpAgent.destroy();
    this.kill();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#directory, { recursive: true, force: true });
  }

  get #path(): string {
    return join(this.#directory, "line.sock");
  }

  #remember(request: IncomingMessage): void {
    this.seen.push({
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#remember(request);
    if (this.onRequest(request)) return;
    this.busy += 1;
    response.once("close", () => (this.busy -= 1));
    const url = new URL(request.url ?? "/", "http://agent");
    const path = this.file(url.searchParams.get("path") ?? "");
    try {
      if (request.method === "PUT") await receive(request, response, path);
      else await send(request, response, path);
    } catch (error) {
      if (response.headersSent) {
        response.destroy();
        return;
      }
      const missing = new InsienError(
        "file_not_found",
        `${url.searchParams.get("path")} does not exist`,
        {
          cause: error,
        },
      );
      response.writeHead(404, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: missing.toBody() }));
    }
  }
}

function echo(socket: WebSocket): void {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
}

async function receive(request: IncomingMessage, response: ServerResponse, path: string) {
  await pipeline(request, createWriteStream(path));
  const { size } = await stat(path);
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ path, size }));
}

async function send(request: IncomingMessage, response: ServerResponse, path: string) {
  const { size } = await stat(path);
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const start = range === null ? 0 : Number(range[1]);
  const end = range === null ? size - 1 : Number(range[2]);
  response.writeHead(range === null ? 200 : 206, {
    "content-type": "application/octet-stream",
    "content-length": end - start + 1,
    "accept-ranges": "bytes",
    ...(range === null ? {} : { "content-range": `bytes ${start}-${end}/${size}` }),
  });
  if (request.method === "HEAD" || size === 0) response.end();
  else await pipeline(createReadStream(path, { start, end, highWaterMark: 256 * 1024 }), response);
}
