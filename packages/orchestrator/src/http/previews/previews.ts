import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { InsienError, PREVIEW_PATH, type SandboxId, newId } from "@insien/protocol";
import type { FastifyBaseLogger } from "fastify";
import type { AdmittedPort, Ports } from "../../app/ports.ts";
import type { ExternalPort } from "../../app/sandbox-ports.ts";
import { CLOSE_CODES } from "../../ws/close-frame.ts";
import type { Splice } from "../../ws/splice.ts";
import type { Doorkeeper } from "../authentication.ts";
import type { DoorLimits } from "../door-limits.ts";
import { asInsienError, errorAnswerOf } from "../error-answer.ts";
import type { NodeGateway } from "../node-gateway.ts";
import { linkCookie } from "./preview-cookies.ts";
import type { PreviewNames } from "./preview-names.ts";
import { PAGE_POLICY, previewPage } from "./preview-page.ts";
import { type PreviewRequest, prefixWith, readPreviewRequest } from "./preview-request.ts";
import { type Upgrading, joinUpgrade, responseTo } from "./preview-upgrade.ts";
import { programsPart } from "./shown-credentials.ts";
import { exchange } from "./port-exchange.ts";
import { PreviewWays, type Visit } from "./preview-ways.ts";

export interface PreviewsOptions {
  ports: Ports;
  names: PreviewNames;
  gateway: NodeGateway;
  doorkeeper: Doorkeeper;
  limits: DoorLimits;
  logger: FastifyBaseLogger;
  trustProxy: boolean;
}

interface PublicVisit {
  admitted: AdmittedPort;
  ended: AbortController;
}

/**
 * The door to programs in sandboxes: by host name, by path, and on external ports. It decides who
 * may come in, and streams; what program and visitor say to each other passes by.
 */
export class Previews {
  readonly #options: PreviewsOptions;
  readonly #ways: PreviewWays;
  readonly #splices = new Set<Splice>();
  /** Those who were let in because the port is everybody's. */
  readonly #public = new Set<PublicVisit>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
    this.#ways = new PreviewWays(options);
  }

  /** Whether a request is for a sandbox; then nothing else of this server may answer it. */
  takes({ headers, url = "" }: IncomingMessage): boolean {
    const path = url.split("?", 1)[0] ?? "";
    if (path === PREVIEW_PATH || path.startsWith(`${PREVIEW_PATH}/`)) return true;
    return this.#options.names.isPreview(headers.host);
  }

  /** Answers what is for sandboxes, and leaves the rest to `handler`. */
  serveBefore(server: Server, handler: RequestListener): void {
    server.on("request", (request, response) => {
      if (this.takes(request)) void this.serve(request, response);
      else handler(request, response);
    });
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      // A program says itself whether it wants the body.
      if (!this.takes(request)) response.writeContinue();
      server.emit("request", request, response);
    });
  }

  /** Answers in every case. */
  async serve(
    request: IncomingMessage,
    response: ServerResponse,
    external?: ExternalPort,
  ): Promise<void> {
    const startedMs = performance.now();
    // What breaks after the answer began shows as a broken connection.
    for (const stream of [request, response]) stream.on("error", () => undefined);
    try {
      const asked = readPreviewRequest(request, this.#options.names, external);
      const visit = await this.#admit(asked, request, response);
      if (visit !== undefined) {
        await hidden(visit, this.#exchange(visit, response));
      }
    } catch (error) {
      this.#refuse(request, response, error);
    }
    const durationMs = Math.round((performance.now() - startedMs) * 100) / 100;
    const { statusCode: status } = response;
    this.#options.logger.debug({ method: request.method, status, durationMs }, "preview");
  }

  async upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    external?: ExternalPort,
  ): Promise<void> {
    const upgrading = { request, socket, head };
    socket.on("error", () => socket.destroy());
    try {
      const asked = readPreviewRequest(request, this.#options.names, external);
      const visit = await this.#admit(asked, request, undefined);
      if (visit !== undefined) await hidden(visit, this.#join(upgrading, visit));
    } catch (error) {
      if (socket.writable) this.#refuse(request, responseTo(upgrading), error);
      else socket.destroy();
    }
  }

  /** Ends the visits of those who have nothing to show for this port but that it was public. */
  turnPrivate({ sandboxId, port }: { sandboxId: SandboxId; port: number }): void {
    for (const { admitted, ended } of this.#public) {
      if (admitted.sandboxId === sandboxId && admitted.port === port) ended.abort(closedDoor());
    }
  }

  /** Tells everyone who is connected that the server stops. */
  async close(): Promise<void> {
    const reason = new InsienError("connection_lost", "The server is stopping; connect again");
    const done = [...this.#splices].map((splice) => {
      splice.close(reason, CLOSE_CODES.serviceRestart);
      return splice.done;
    });
    await Promise.all(done);
  }

  async #exchange(visit: Visit, response: ServerResponse): Promise<void> {
    const onward = await this.#ways.plain(visit);
    using _entered = onward.entered;
    using standing = this.#stand(visit, onward.lost);
    const { lost } = standing;
    await exchange(
      visit.request,
      response,
      { ...onward, lost },
      {
        answerMs: this.#options.limits.portAnswerMs,
      },
    );
  }

  async #join(upgrading: Upgrading, visit: Visit): Promise<void> {
    const onward = await this.#ways.webSocket(visit);
    using resources = new DisposableStack();
    resources.use(onward.entered);
    const { lost } = resources.use(this.#stand(visit, onward.lost));
    const splice = await joinUpgrade(upgrading, { ...onward, lost }, this.#options.limits);
    if (splice === undefined) return;
    const held = resources.move();
    this.#splices.add(splice);
    void splice.done.then(() => {
      held.dispose();
      this.#splices.delete(splice);
    });
  }

  /** Until it is disposed of, the visit ends when the port is no longer everybody's. */
  #stand({ admitted }: Visit, lost: AbortSignal): Disposable & { lost: AbortSignal } {
    if (admitted.by !== "public") return { lost, [Symbol.dispose]: () => undefined };
    const visit = { admitted, ended: new AbortController() };
    this.#public.add(visit);
    return {
      lost: AbortSignal.any([lost, visit.ended.signal]),
      [Symbol.dispose]: () => this.#public.delete(visit),
    };
  }

  /** `undefined` when the visitor was sent to another address. */
  async #admit(
    asked: PreviewRequest,
    request: IncomingMessage,
    response: ServerResponse | undefined,
  ): Promise<Visit | undefined> {
    const { names, ports } = this.#options;
    if (asked.form === "path" && request.headers["service-worker"] !== undefined) {
      throw new InsienError("forbidden", "A service worker needs a host name of its own");
    }
    if (asked.address === undefined) throw closedDoor();
    if (asked.form === "path" && !asked.target.startsWith("/")) {
      const [path = ""] = (request.url ?? "").split("?", 1);
      redirect(response, 308, `${path}/${(request.url ?? "").slice(path.length)}`);
      return undefined;
    }
    const address = this.#ways.clientAddress(request);
    const admitted = await ports.admit(asked.address, {
      tokens: asked.tokens,
      principal: async () => this.#principal(request, address),
    });
    const isStrange = asked.form === "path" && !names.isKnown(asked.host);
    if (admitted === undefined || (admitted.by === "public" && isStrange)) throw closedDoor();
    if (response !== undefined && isVisit(request) && this.#remember(asked, admitted, response)) {
      return undefined;
    }
    if (response !== undefined && asked.pathToken !== undefined && isPreflight(request)) {
      response.writeHead(204, PREFLIGHT_HEADERS).end();
      return undefined;
    }
    const isOurs = (text: string) => this.#options.doorkeeper.isOurs(text, address);
    const program = await programsPart(request, asked.target, isOurs);
    return { request, asked, admitted, address, isSecure: this.#ways.isSecure(request), program };
  }

  async #principal(request: IncomingMessage, address: string) {
    const key = request.headers["x-api-key"];
    if (typeof key !== "string" || key === "") return undefined;
    try {
      return await this.#options.doorkeeper.admit(key, address);
    } catch (error) {
      if (error instanceof InsienError && error.code === "unauthorized") return undefined;
      throw error;
    }
  }

  /** Puts the token of the query where it stays, and sends the browser to the address without it. */
  #remember(asked: PreviewRequest, { link }: AdmittedPort, response: ServerResponse): boolean {
    if (link === undefined || link.token !== asked.addressToken) return false;
    const isSecure = this.#ways.isSecure(response.req);
    if (asked.form === "path") {
      // Pages there have no origin, and browsers send them no cookies: the path itself is the key.
      redirect(response, 303, `${prefixWith(asked.prefix, link.token)}${asked.target}`);
      return true;
    }
    response.setHeader("set-cookie", linkCookie(link, asked.cookies, { isSecure }));
    redirect(response, 303, asked.target);
    return true;
  }

  #refuse(request: IncomingMessage, response: ServerResponse, thrown: unknown): void {
    const requestId = newId();
    if (response.headersSent || response.destroyed) {
      response.destroy();
      return;
    }
    const error = asInsienError(thrown);
    if (error.code === "internal") {
      this.#options.logger.error({ err: error, requestId }, "a request to a port failed");
    }
    const answer = errorAnswerOf(error, requestId);
    const isPage = request.headers.accept?.includes("text/html") === true;
    response.writeHead(answer.status, {
      ...answer.headers,
      "content-type": isPage ? "text/html; charset=utf-8" : "application/json; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": PAGE_POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "x-request-id": requestId,
      ...(request.complete ? {} : { connection: "close" }),
    });
    response.end(isPage ? previewPage(error, requestId) : JSON.stringify(answer.body));
  }
}

/** A person's browser that opens an address, not a program that fetches it. */
const isVisit = ({ method, headers }: IncomingMessage): boolean =>
  method === "GET" &&
  headers.accept?.includes("text/html") === true &&
  (headers["sec-fetch-mode"] ?? "navigate") === "navigate";

/** Whoever knows the path may do what it leads to; nothing else speaks for the visitor there. */
const PREFLIGHT_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "*, authorization",
  "access-control-max-age": "600",
};

const isPreflight = ({ method, headers }: IncomingMessage): boolean =>
  method === "OPTIONS" && headers["access-control-request-method"] !== undefined;

const closedDoor = (): InsienError =>
  new InsienError(
    "port_link_invalid",
    "There is nothing at this address, or it is not open to you",
  );

/** Who was not let in here learns nothing of the node that might have done so. */
async function hidden(visit: Visit, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw visit.admitted.by === "unverified" ? closedDoor() : error;
  }
}

function redirect(response: ServerResponse | undefined, status: number, location: string): void {
  if (response === undefined) {
    throw new InsienError("invalid_request", "The address of a port ends with a slash");
  }
  // Two slashes first would be read as the name of another host.
  const safe = /^[/\\]{2}/.test(location) ? `/.${location}` : location;
  response.writeHead(status, {
    location: safe,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-length": "0",
  });
  response.end();
}
