import { type Server as HttpServer, createServer as createHttpServer } from "node:http";
import { type Server as NetServer, type Socket, createServer } from "node:net";
import { LIMITS, newId } from "@insien/protocol";
import { copyBytes } from "@insien/sockets";
import type { FastifyBaseLogger } from "fastify";
import type { Ports } from "../../app/ports.ts";
import type { ExternalDoor, ExternalPort } from "../../app/sandbox-ports.ts";
import type { DoorLimits } from "../door-limits.ts";
import { asInsienError } from "../error-answer.ts";
import { answerBrokenRequest, serverOptions } from "../fastify-app.ts";
import { machinePorts } from "./port-connection.ts";
import type { Previews } from "./previews.ts";

export interface ExternalPortsOptions {
  host: string;
  previews: Previews;
  ports: Ports;
  limits: DoorLimits;
  logger: FastifyBaseLogger;
}

interface Listening {
  port: ExternalPort;
  server: HttpServer | NetServer;
  sockets: Set<Socket>;
}

/** Ports of the host that lead to a sandbox's: http through the same door as previews, tcp as bytes. */
export class ExternalPorts implements ExternalDoor, AsyncDisposable {
  readonly #options: ExternalPortsOptions;
  readonly #listening = new Map<number, Listening>();

  constructor(options: ExternalPortsOptions) {
    this.#options = options;
  }

  async open(port: ExternalPort): Promise<void> {
    if (this.#listening.has(port.external)) return;
    const server = port.protocol === "tcp" ? this.#tcp(port) : this.#http(port);
    const sockets = new Set<Socket>();
    server.maxConnections = LIMITS.externalPortConnections.value;
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      // Later ones, such as too many open files, concern single connections.
      server.on("error", reject);
      server.listen(port.external, this.#options.host, resolve);
    });
    this.#listening.set(port.external, { port, server, sockets });
  }

  close(external: number): void {
    const listening = this.#listening.get(external);
    this.#listening.delete(external);
    if (listening === undefined) return;
    listening.server.close();
    for (const socket of listening.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const external of this.#listening.keys()) this.close(external);
    await Promise.resolve();
  }

  #http(port: ExternalPort): HttpServer {
    const { previews, limits } = this.#options;
    const server = createHttpServer(serverOptions(limits));
    const serve = (...[request, response]: Parameters<Previews["serve"]>) =>
      void previews.serve(request, response, port);
    server.on("request", serve);
    server.on("checkContinue", serve);
    server.on("upgrade", (request, socket, head: Buffer) => {
      void previews.upgrade(request, socket, head, port);
    });
    server.on("clientError", (error, socket) => answerBrokenRequest(error, socket as Socket));
    return server;
  }

  #tcp(port: ExternalPort): NetServer {
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      pauseOnConnect: true,
    });
    server.on("connection", (socket: Socket) => {
      socket.on("error", () => socket.destroy());
      this.#join(port, socket).catch((thrown: unknown) => {
        socket.destroy();
        const { message: reason } = asInsienError(thrown);
        const { external, sandboxId } = port;
        this.#options.logger.debug({ requestId: newId(), external, sandboxId, reason }, "refused");
      });
    });
    return server;
  }

  async #join(port: ExternalPort, socket: Socket): Promise<void> {
    const { sandboxId, internal } = port;
    const nobody = { tokens: [], principal: async () => undefined };
    const admitted = await this.#options.ports.admit({ sandboxId, port: internal }, nobody);
    if (admitted === undefined) throw new Error("the port is not public");
    const connector = await this.#options.ports.connect(admitted);
    const machine = machinePorts(connector);
    const entered = machine.enter();
    socket.once("close", () => entered[Symbol.dispose]());
    const gone = new AbortController();
    socket.once("close", () => gone.abort());
    const program = await machine.connect(internal, { signal: gone.signal });
    if (socket.destroyed) {
      program.destroy();
      entered[Symbol.dispose]();
      return;
    }
    for (const [from, to] of [
      [socket, program],
      [program, socket],
    ] as const) {
      copyBytes(from, to);
      // Each direction may end on its own, as programs expect of TCP.
      from.once("end", () => to.end());
      from.once("close", () => {
        if (!from.readableEnded) to.destroy();
      });
    }
    const end = () => socket.destroy();
    connector.lost.addEventListener("abort", end, { once: true });
    socket.once("close", () => connector.lost.removeEventListener("abort", end));
    socket.resume();
  }
}
