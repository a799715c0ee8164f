/**
 * The orchestrator's end of one machine's line, as small as it can be: it takes the agent's upgrade
 * on `line.sock`, keeps the parked connections, and talks to the agent on them.
 */
import { once } from "node:events";
import { mkdir, rm, writeFile, chmod } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import type { Duplex } from "node:stream";
import {
  AGENT_PATHS,
  LINE_UPGRADE,
  LIMITS,
  type AgentEvent,
  type RpcAnswers,
  type RpcError,
  type RpcRequests,
  type RpcType,
} from "@insien/protocol";
import { WebSocket } from "ws";

export type Hello = Extract<AgentEvent, { type: "hello" }>;
type RequestFields<Type extends RpcType> = Omit<RpcRequests[Type], "id" | "type">;

const WORLD_READABLE = 0o644;
const WORLD_CONNECTABLE = 0o666;

export class LineServer implements AsyncDisposable {
  readonly directory: string;
  readonly #machineId: string;
  readonly #server: Server;
  readonly #token = crypto.randomUUID();
  readonly #parked = new Set<Duplex>();
  readonly #waiting: Array<(socket: Duplex) => void> = [];

  private constructor(directory: string, machineId: string) {
    this.directory = directory;
    this.#machineId = machineId;
    this.#server = createServer((_, response) => response.writeHead(404).end());
    this.#server.on("upgrade", (message, socket) => this.#accept(message, socket));
  }

  /** Makes `directory` with `line.sock` and `token` in it, open to any user of the machine. */
  static async listen(directory: string, machineId: string): Promise<LineServer> {
    await mkdir(directory, { recursive: true });
    const line = new LineServer(directory, machineId);
    const socketPath = `${directory}/line.sock`;
    await writeFile(`${directory}/token`, line.#token, { mode: WORLD_READABLE });
    line.#server.listen(socketPath);
    await once(line.#server, "listening");
    await chmod(socketPath, WORLD_CONNECTABLE);
    return line;
  }

  /** Connections that wait to be used. */
  get parkedConnections(): number {
    return this.#parked.size;
  }

  #accept(message: IncomingMessage, socket: Duplex): void {
    const wanted =
      message.url === `/line/${this.#machineId}` &&
      message.headers.upgrade === LINE_UPGRADE &&
      message.headers.authorization === `Bearer ${this.#token}`;
    if (!wanted) {
      socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
      return;
    }
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LINE_UPGRADE}\r\n\r\n`,
    );
    const taker = this.#waiting.shift();
    if (taker !== undefined) {
      taker(socket);
      return;
    }
    this.#parked.add(socket);
    socket.once("close", () => this.#parked.delete(socket));
    // An ended peer is only noticed on a socket that flows; the agent says nothing unasked.
    socket.resume();
  }

  /** A parked connection, taken for good. */
  async take(timeoutMs: number = LIMITS.lineTakeMs.value): Promise<Duplex> {
    for (const socket of this.#parked) {
      this.#parked.delete(socket);
      if (!socket.destroyed && !socket.readableEnded) return socket;
    }
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    this.#waiting.push(resolve);
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(resolve), 1);
      reject(new Error(`no agent parked a connection on ${this.directory} in ${timeoutMs} ms`));
    }, timeoutMs);
    return promise.finally(() => clearTimeout(timer));
  }

  /**
   * Waits for the agent and returns the first line of its events. Connections that a stopped agent
   * left behind are passed over.
   */
  async hello(timeoutMs: number = LIMITS.bootMs.value): Promise<Hello> {
    const signal = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const socket = await this.take(timeoutMs);
      try {
        return await this.#ask(socket, signal);
      } catch (error) {
        if (signal.aborted || !socket.destroyed) throw error;
      } finally {
        socket.destroy();
      }
    }
  }

  async #ask(socket: Duplex, signal: AbortSignal): Promise<Hello> {
    const createConnection = () => socket;
    const outgoing = request({
      path: AGENT_PATHS.events,
      host: "insien",
      createConnection,
      signal,
    });
    outgoing.end();
    const [answer] = (await once(outgoing, "response", { signal })) as [IncomingMessage];
    outgoing.on("error", () => undefined);
    return await firstEvent(answer);
  }

  /** One RPC request on a connection of its own. Rejects with the agent's error. */
  async rpc<Type extends RpcType>(
    type: Type,
    fields: RequestFields<Type>,
    options: { timeoutMs?: number } = {},
  ): Promise<RpcAnswers[Type]> {
    const socket = await this.take();
    const url = `ws://insien${AGENT_PATHS.rpc}`;
    const webSocket = new WebSocket(url, { createConnection: () => socket });
    const signal = AbortSignal.timeout(options.timeoutMs ?? 20_000);
    const closed = once(webSocket, "close", { signal }).then(() => {
      throw new Error(`the connection closed before ${type} was answered`);
    });
    closed.catch(() => undefined);
    try {
      await Promise.race([once(webSocket, "open", { signal }), closed]);
      const answered = once(webSocket, "message", { signal });
      webSocket.send(JSON.stringify({ id: "1", type, ...fields }));
      const [data] = (await Promise.race([answered, closed])) as [Buffer];
      const frame = JSON.parse(data.toString()) as RpcError | (RpcAnswers[Type] & { type: string });
      if ("error" in frame) throw new Error(`${frame.error.code}: ${frame.error.message}`);
      return frame;
    } finally {
      webSocket.terminate();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const socket of this.#parked) socket.destroy();
    await rm(this.directory, { recursive: true, force: true });
  }
}

async function firstEvent(answer: IncomingMessage): Promise<Hello> {
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) {
    text += chunk as string;
    const end = text.indexOf("\n");
    if (end < 0) continue;
    const event = JSON.parse(text.slice(0, end)) as AgentEvent;
    if (event.type !== "hello") throw new Error(`the agent's first words were ${event.type}`);
    return event;
  }
  throw new Error(`the agent answered ${answer.statusCode} and no event`);
}
