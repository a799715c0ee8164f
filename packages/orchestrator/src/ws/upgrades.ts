import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { AGENT_PATHS, InsienError, type SandboxId, asSandboxId, newId } from "@insien/protocol";
import type { FastifyBaseLogger } from "fastify";
import type { Application } from "../app/application.ts";
import { nodeSilent } from "../app/node-directory.ts";
import type { Principal } from "../app/principal.ts";
import { type Doorkeeper, keyFromHeaders, offeredProtocols } from "../http/authentication.ts";
import type { DoorLimits } from "../http/door-limits.ts";
import { asInsienError, errorAnswerOf } from "../http/error-answer.ts";
import { rawAnswer } from "../http/fastify-app.ts";
import type { NodeGateway } from "../http/node-gateway.ts";
import type { Previews } from "../http/previews/previews.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import { CLOSE_CODES } from "./close-frame.ts";
import { type ClientHandshake, switchingProtocols, upgradeAgent } from "./handshake.ts";
import { LineCarrier, type LineDoor, type UpgradeRequest } from "./line-door.ts";
import { Splice } from "./splice.ts";

export interface UpgradesOptions {
  application: Application;
  gateway: NodeGateway;
  doorkeeper: Doorkeeper;
  limits: DoorLimits;
  logger: FastifyBaseLogger;
  lineDoor: LineDoor | undefined;
  /** Answer what is for programs in sandboxes. */
  previews: Pick<Previews, "takes" | "upgrade">;
  trustProxy: boolean;
}

interface Upgrade extends UpgradeRequest {
  url: URL;
}

interface Target {
  id: SandboxId;
  port: number | undefined;
}

/** Where a WebSocket goes on to: the agent, or the node that holds it. */
interface Onward {
  connector: Pick<AgentConnector, "take" | "lost">;
  path: string;
  headers: Record<string, string>;
}

const AGENT_PATH = /^\/agent\/([^/]+)(?:\/ports\/([^/]+))?\/?$/;
const LINE_PATH = /^\/line\/([a-z0-9]+)$/;

/** Answers every request to upgrade, on any number of servers. */
export class Upgrades {
  readonly #options: UpgradesOptions;
  readonly #carrier: LineCarrier | undefined;
  readonly #splices = new Set<Splice>();
  #closing = false;

  constructor(options: UpgradesOptions) {
    this.#options = options;
    this.#carrier = options.lineDoor === undefined ? undefined : new LineCarrier(options.lineDoor);
  }

  serve(server: Server): void {
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const { previews } = this.#options;
      if (previews.takes(request)) void previews.upgrade(request, socket, head);
      else void this.#answer(request, socket, head);
    });
  }

  /** The second door's answer to requests that do not upgrade. */
  refusePlain(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const error = AGENT_PATH.test(path)
      ? new InsienError("upgrade_required", "This address speaks WebSocket only")
      : new InsienError("route_not_found", "This port serves WebSockets only: /agent/<sandbox id>");
    const answer = errorAnswerOf(error, newId());
    response.writeHead(answer.status, { ...answer.headers, "content-type": "application/json" });
    response.end(JSON.stringify(answer.body));
  }

  /** Tells every client that the server stops, and waits for the sockets to close. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#carrier?.close();
    const reason = new InsienError("connection_lost", "The server is stopping; connect again");
    const done = [...this.#splices].map((splice) => {
      splice.close(reason, CLOSE_CODES.serviceRestart);
      return splice.done;
    });
    await Promise.all(done);
  }

  async #answer(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    const requestId = newId();
    const startedMs = performance.now();
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    let status = 101;
    try {
      const url = new URL(request.url ?? "/", "http://door");
      await this.#dispatch({ request, socket, head, url });
    } catch (thrown) {
      const error = asInsienError(thrown);
      status = error.status;
      if (error.code === "internal")
        this.#options.logger.error({ err: error, requestId }, "upgrade failed");
      refuse(socket, error, requestId);
    }
    const durationMs = Math.round((performance.now() - startedMs) * 100) / 100;
    this.#options.logger.info({ requestId, path, status, durationMs }, "upgrade");
  }

  async #dispatch(upgrade: Upgrade): Promise<void> {
    if (this.#closing) {
      throw new InsienError("connection_lost", "The server is stopping; connect again");
    }
    const { pathname } = upgrade.url;
    const [, machineId] = LINE_PATH.exec(pathname) ?? [];
    if (machineId !== undefined && this.#carrier !== undefined) {
      this.#carrier.accept(upgrade, machineId, lineToken(upgrade));
      return;
    }
    const [, id, port] = AGENT_PATH.exec(pathname) ?? [];
    if (id === undefined) {
      throw new InsienError("route_not_found", `There is no WebSocket at ${pathname}`);
    }
    await this.#joinAgent(upgrade, id, port);
  }

  async #joinAgent(upgrade: Upgrade, id: string, port: string | undefined): Promise<void> {
    const { request, socket, url } = upgrade;
    const offered = offeredProtocols(request.headers);
    const key =
      keyFromHeaders(request.headers) ??
      offered.key ??
      url.searchParams.get("api_key") ??
      undefined;
    const principal = await this.#options.doorkeeper.admit(key, this.#addressOf(request));
    if (request.headers["sec-websocket-key"] === undefined) {
      throw new InsienError("invalid_request", "Sec-WebSocket-Key: is missing");
    }
    const gone = new AbortController();
    const onGone = () =>
      gone.abort(new InsienError("connection_lost", "The client closed its connection"));
    socket.once("close", onGone);
    const handshake = { headers: request.headers, offered };
    const target = { id: sandboxIdOf(id), port: port === undefined ? undefined : portOf(port) };
    const onward =
      (await this.#toOtherNode(upgrade, principal, target, key ?? "")) ??
      (await this.#toAgent(principal, target, gone.signal));
    const joined = await this.#upgrade(onward, handshake, gone.signal);
    socket.off("close", onGone);
    if (socket.destroyed) {
      joined.agent.destroy();
      return;
    }
    socket.write(switchingProtocols(handshake, joined.protocol));
    if (socket instanceof Socket) socket.setNoDelay(true).setTimeout(0);
    if (upgrade.head.length > 0) socket.unshift(upgrade.head);
    if (joined.head.length > 0) joined.agent.unshift(joined.head);
    this.#track(new Splice(socket, joined.agent, onward.connector.lost, this.#options.limits));
  }

  async #toAgent(principal: Principal, { id, port }: Target, signal: AbortSignal): Promise<Onward> {
    const connector = await this.#options.application.sandboxes.connect(principal, id, { signal });
    const path = port === undefined ? AGENT_PATHS.rpc : `${AGENT_PATHS.ports}/${port}`;
    return { connector, path, headers: {} };
  }

  async #toOtherNode(
    { request, url }: Upgrade,
    principal: Principal,
    { id }: Target,
    key: string,
  ): Promise<Onward | undefined> {
    const { gateway } = this.#options;
    const place = await gateway.locate(principal, id, request.headers);
    if (place === undefined) return undefined;
    if (place.url === undefined) throw nodeSilent(id, place.nodeId);
    const client = { key, address: this.#addressOf(request) };
    return {
      connector: gateway.connector({ nodeId: place.nodeId, url: place.url }, id),
      path: url.pathname,
      headers: gateway.upgradeHeaders(place, client),
    };
  }

  async #upgrade({ connector, path, headers }: Onward, client: ClientHandshake, gone: AbortSignal) {
    const signal = AbortSignal.any([gone, connector.lost]);
    const stream = await connector.take({ signal });
    const options = { timeoutMs: this.#options.limits.handshakeMs, signal, headers };
    try {
      return await upgradeAgent(stream, path, client, options);
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  #track(splice: Splice): void {
    this.#splices.add(splice);
    void splice.done.then(() => this.#splices.delete(splice));
  }

  #addressOf(request: IncomingMessage): string {
    const forwarded = request.headers["x-forwarded-for"];
    if (this.#options.trustProxy && typeof forwarded === "string") {
      return forwarded.split(",", 1)[0]?.trim() ?? "";
    }
    return request.socket.remoteAddress ?? "";
  }
}

function sandboxIdOf(text: string): SandboxId {
  const id = asSandboxId(text);
  if (id === undefined) {
    throw new InsienError(
      "invalid_request",
      "id: must be a sandbox id: lower-case letters and digits",
    );
  }
  return id;
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65_535) return port;
  throw new InsienError("invalid_request", "port: must be a number from 1 to 65535");
}

function lineToken({ request }: Upgrade): string {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined)
    throw new InsienError("unauthorized", "A line needs its machine's token");
  return token;
}

function refuse(socket: Duplex, error: InsienError, requestId: string): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const answer = errorAnswerOf(error, requestId);
  const headers = { ...answer.headers, "x-request-id": requestId };
  socket.end(rawAnswer(answer.status, headers, JSON.stringify(answer.body)));
}
