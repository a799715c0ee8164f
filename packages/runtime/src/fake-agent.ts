/**
 * An agent without a machine: it dials a line as the real one does and answers just enough of the
 * protocol for tests of what is at the line's other end: files in memory, and `echo`, `true`,
 * `false` and `sleep` as its only commands.
 */
import { readFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  AGENT_PATHS,
  InsienError,
  LIMITS,
  LINE_UPGRADE,
  newId,
  rpcRequests,
  type AgentEvent,
  type RpcAnswers,
  type RpcRequest,
} from "@insien/protocol";
import { WebSocketServer, type WebSocket } from "ws";

export interface FakeAgentOptions {
  machineId: string;
  lineDirectory: string;
  /** Home-relative names and contents; kept by the machine, so they outlive the agent. */
  files: Map<string, Buffer>;
}

export class FakeAgent implements Disposable {
  readonly #options: FakeAgentOptions;
  readonly #ended = new AbortController();
  readonly #bootId = newId();
  readonly #startedAt = new Date();
  readonly #server = createServer((incoming, answer) => this.#serve(incoming, answer));
  readonly #webSockets = new WebSocketServer({ noServer: true });
  readonly #sockets = new Set<Duplex>();
  readonly #parked = new Set<Duplex>();

  constructor(options: FakeAgentOptions) {
    this.#options = options;
    this.#server.on("upgrade", (incoming, socket, head) => {
      this.#replace(socket);
      this.#webSockets.handleUpgrade(incoming, socket, head, (client) => this.#speak(client));
    });
    for (let spare = 0; spare < LIMITS.lineSpareConnections.value; spare += 1) void this.#park();
  }

  /** Dials until one connection is parked; when it is taken, another is parked in its place. */
  async #park(): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const socket = await this.#dial().catch(() => undefined);
      if (socket !== undefined) {
        this.#hold(socket);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, REDIAL_MS));
    }
  }

  #hold(socket: Duplex): void {
    if (this.#ended.signal.aborted) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    this.#parked.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      this.#replace(socket);
    });
    socket.on("error", () => socket.destroy());
    this.#server.emit("connection", socket);
  }

  /** A parked connection was taken or lost: another one takes its place. */
  #replace(socket: Duplex): void {
    if (this.#parked.delete(socket)) void this.#park();
  }

  async #dial(): Promise<Duplex> {
    const { lineDirectory, machineId } = this.#options;
    const token = await readFile(`${lineDirectory}/token`, "utf8");
    const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
    request({
      socketPath: `${lineDirectory}/line.sock`,
      path: `/line/${machineId}`,
      headers: {
        Host: "insien",
        Connection: "Upgrade",
        Upgrade: LINE_UPGRADE,
        Authorization: `Bearer ${token}`,
      },
      signal: this.#ended.signal,
    })
      .on("upgrade", (_, socket, head) => {
        // Whoever waited for this connection may have sent its request right behind the 101.
        if (head.byteLength > 0) socket.unshift(head);
        resolve(socket);
      })
      .on("response", ({ statusCode }) => reject(new Error(`the line answered ${statusCode}`)))
      .on("error", reject)
      .end();
    return await promise;
  }

  #serve(incoming: IncomingMessage, answer: ServerResponse): void {
    this.#replace(incoming.socket);
    const path = incoming.url?.split("?")[0];
    if (path === AGENT_PATHS.events) {
      answer.writeHead(200, { "Content-Type": "application/x-ndjson" });
      answer.write(`${JSON.stringify(this.#hello())}\n`);
      const timer = setInterval(() => {
        const heartbeat: AgentEvent = { type: "heartbeat", at: new Date().toISOString() };
        answer.write(`${JSON.stringify(heartbeat)}\n`);
      }, LIMITS.lineHeartbeatMs.value);
      answer.on("close", () => clearInterval(timer));
      return;
    }
    if (path === AGENT_PATHS.bind) {
      incoming.resume().on("end", () => answer.writeHead(204).end());
      return;
    }
    answer.writeHead(404).end();
  }

  #hello(): AgentEvent {
    return {
      type: "hello",
      version: "fake",
      machineId: this.#options.machineId,
      bootId: this.#bootId,
      home: "/home/user",
      user: "user",
      startedAt: this.#startedAt.toISOString(),
    };
  }

  #speak(client: WebSocket): void {
    client.on("message", async (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as RpcRequest;
      try {
        const answer = await this.#answer(frame);
        client.send(JSON.stringify({ id: frame.id, type: `${frame.type}Response`, ...answer }));
      } catch (cause) {
        const error =
          cause instanceof InsienError ? cause : new InsienError("internal", String(cause));
        client.send(JSON.stringify({ id: frame.id, type: "error", error: error.toBody() }));
      }
    });
  }

  async #answer(frame: RpcRequest): Promise<RpcAnswers[RpcRequest["type"]]> {
    if (!Object.hasOwn(rpcRequests, frame.type)) {
      throw new InsienError("invalid_request", `there is no request type ${String(frame.type)}`);
    }
    const { files } = this.#options;
    switch (frame.type) {
      case "ping":
        return { at: new Date().toISOString() };
      case "write": {
        const content = Buffer.from(frame.content, frame.encoding ?? "utf8");
        files.set(frame.path, content);
        return { success: true, path: frame.path, size: content.byteLength };
      }
      case "read": {
        const content = files.get(frame.path);
        if (content === undefined) {
          throw new InsienError("file_not_found", `there is no file ${frame.path}`);
        }
        const encoding = frame.encoding ?? "utf8";
        const { byteLength: size } = content;
        return { content: content.toString(encoding), path: frame.path, size, encoding };
      }
      case "exec":
        return await this.#execute(frame.cmd ?? "sh", frame.args ?? [frame.shell ?? ""]);
      default:
        throw new InsienError("capability_missing", `the fake agent has no ${frame.type}`);
    }
  }

  async #execute(command: string, args: readonly string[]): Promise<RpcAnswers["exec"]> {
    const startedAt = performance.now();
    const ended = (exitCode: number, stdout = "") => ({
      stdout,
      stderr: "",
      exitCode,
      durationMs: performance.now() - startedAt,
    });
    switch (command) {
      case "echo":
        return ended(0, `${args.join(" ")}\n`);
      case "true":
        return ended(0);
      case "false":
        return ended(1);
      case "sleep":
        await new Promise((resolve) => setTimeout(resolve, Number(args[0]) * 1000));
        return ended(0);
      default:
        throw new InsienError("command_not_found", `the fake agent has no command ${command}`);
    }
  }

  /** Ends as a killed process does: every connection closes at once. */
  [Symbol.dispose](): void {
    this.#ended.abort();
    for (const socket of this.#sockets) socket.destroy();
    this.#webSockets.close();
  }
}

const REDIAL_MS = 20;
