import { type Server as HttpServer, createServer as createHttpServer } from "node:http";
import { type Server as NetServer, type Socket, createServer } from "node:net";
import { InsienError, LIMITS, type SandboxId, newId } from "@insien/protocol";
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
  /** Once it listens. */
  ready: Promise<void>;
}

const leadsToSame = (one: ExternalPort, other: ExternalPort): boolean =>
  one.sandboxId === other.sandboxId &&
  one.internal === other.internal &&
  one.protocol === other.protocol;

/** A server that is closed before it listens might never say so, and listen all the same. */
function end({ server, sockets, ready }: Listening): void {
  void ready.then(
    () => server.close(),
    () => undefined,
  );
  for (const socket of sockets) socket.destroy();
}

/** Ports of the host that lead to a sandbox's: http through the same door as previews, tcp as bytes. */
export class ExternalPorts implements ExternalDoor, AsyncDisposable {
  readonly #options: ExternalPortsOptions;
  readonly #listening = new Map<number, Listening>();

  constructor(options: ExternalPortsOptions) {
    this.#options = options;
  }

  /** Last asked for, last served: whatever the number led to before is ended. */
  async open(port: ExternalPort): Promise<void> {
    for (;;) {
      const known = this.#listening.get(port.external);
      if (known === undefined) break;
      if (leadsToSame(known.port, port)) return known.ready;
      this.close(known.port);
      await known.ready.catch(() => undefined);
    }
    const server = port.protocol === "tcp" ? this.#tcp(port) : this.#http(port);
    const sockets = new Set<Socket>();
    server.maxConnections = LIMITS.externalPortConnections.value;
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    const ready = new Promise<void>((resolve, reject) => {
      // Later ones, such as too many open files, concern single connections.
      server.on("error", reject);
      server.listen(port.external, this.#options.host, resolve);
    });
    const listening = { port, server, sockets, ready };
    // Before it listens, so that a close that comes in between is not lost.
    this.#listening.set(port.external, listening);
    const isWanted = () => this.#listening.get(port.external) === listening;
    await ready.catch((error: unknown) => {
      if (isWanted()) this.#listening.delete(port.external);
      throw error;
    });
    if (isWanted()) return;
    const message = `The external port ${port.external} was taken back while it was opened`;
    throw new InsienError("conflict", message);
  }

  turnPrivate(port: { sandboxId: SandboxId; port: number }): void {
    this.#options.previews.turnPrivate(port);
  }

  close(port: ExternalPort): void {
    const listening = this.#listening.get(port.external);
    if (listening === undefined || !leadsToSame(listening.port, port)) return;
    this.#listening.delete(port.external);
    end(listening);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#listening.values()];
    for (const { port } of all) this.close(port);
    await Promise.allSettled(all.map(({ ready }) => ready));
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
