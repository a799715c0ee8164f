import { type Server, STATUS_CODES, createServer } from "node:http";
import type { Socket } from "node:net";
import { InsienError, newId } from "@insien/protocol";
import Fastify, { type FastifyBaseLogger, type FastifyRequest, LogController } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import { type Doorkeeper, keyFromHeaders } from "./authentication.ts";
import type { App } from "./door.ts";
import type { DoorLimits } from "./door-limits.ts";
import { asInsienError, errorAnswerOf } from "./error-answer.ts";
import type { Previews } from "./previews/previews.ts";
import type { ResponseHeaders } from "./response-headers.ts";
import { validatorCompiler } from "./validation.ts";

export interface AppOptions {
  doorkeeper: Doorkeeper;
  headers: ResponseHeaders;
  limits: DoorLimits;
  logger: FastifyBaseLogger;
  /** Take what is for sandboxes before anything of it is read. */
  previews: Pick<Previews, "serveBefore">;
  trustProxy: boolean;
}

const REQUEST_ID = /^[\w.-]{1,64}$/;
/** What may wait in a socket's buffer before its source is paused. */
const SOCKET_BUFFER_BYTES = 256 * 1024;

/** Timeouts and bounds that hold for both doors' servers, before a request exists. */
export function boundServer(server: Server, limits: DoorLimits): Server {
  server.maxConnections = limits.httpConnections;
  return server;
}

export const serverOptions = (limits: DoorLimits) => ({
  maxHeaderSize: limits.requestHeaderBytes,
  headersTimeout: limits.requestHeadersMs,
  // An upload may take as long as it moves; JSON bodies have a timer of their own.
  requestTimeout: 0,
  connectionsCheckingInterval: Math.min(5_000, limits.requestHeadersMs),
  keepAliveTimeout: limits.keepAliveMs,
  noDelay: true,
  highWaterMark: SOCKET_BUFFER_BYTES,
  // Some HTTP clients ask for h2c on every plain request; they are to get their plain answer.
  shouldUpgradeCallback: (request: { headers: { upgrade?: string | undefined } }) =>
    request.headers.upgrade?.toLowerCase() === "websocket",
});

/** A Fastify server with no routes: identification, authentication, bounds, errors and logging. */
export function createApp(options: AppOptions): App {
  const { limits } = options;
  const app = Fastify({
    serverFactory: (handler) => {
      const server = createServer(serverOptions(limits));
      options.previews.serveBefore(server, handler);
      return boundServer(server, limits);
    },
    loggerInstance: options.logger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: "requestId",
    }),
    bodyLimit: limits.requestBodyBytes,
    trustProxy: options.trustProxy,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 128 },
    exposeHeadRoutes: false,
    return503OnClosing: false,
    genReqId: (request) => {
      const given = request.headers["x-request-id"];
      return typeof given === "string" && REQUEST_ID.test(given) ? given : newId();
    },
    frameworkErrors: (error, request, reply) => {
      const answer = errorAnswerOf(asInsienError(error), request.id);
      const headers = options.headers.forAnswer(request.headers, request.id);
      const all = { ...headers, ...answer.headers, "content-type": "application/json" };
      reply.raw.writeHead(answer.status, all).end(JSON.stringify(answer.body));
    },
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket),
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  // Handlers build answers field by field in the schema's type; checking again would only cost.
  app.setSerializerCompiler(() => JSON.stringify);
  acceptEmptyJson(app);
  app.decorateRequest("principal", undefined);
  addHeaders(app, options.headers);
  addAuthentication(app, options.doorkeeper);
  addBodyTimer(app, limits.requestBodyMs);
  addErrorAnswers(app);
  addRequestLog(app);
  return app;
}

/** Clients that always send a content type send it with no body too. */
function acceptEmptyJson(app: App): void {
  const parse = app.getDefaultJsonParser("error", "ignore");
  app.removeContentTypeParser("text/plain");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, undefined);
    else void parse(request, String(body), done);
  });
}

function addHeaders(app: App, headers: ResponseHeaders): void {
  app.addHook("onRequest", (request, reply, done) => {
    void reply.headers(headers.forAnswer(request.headers, request.id));
    const isPreflight =
      request.method === "OPTIONS" &&
      request.headers["access-control-request-method"] !== undefined;
    if (isPreflight) void reply.code(204).headers(headers.forPreflight()).send();
    else done();
  });
}

function addAuthentication(app: App, doorkeeper: Doorkeeper): void {
  app.addHook("onRequest", async (request) => {
    if (request.is404 || request.routeOptions.config.auth === "open") return;
    request.principal = await doorkeeper.admit(keyFromHeaders(request.headers), request.ip);
  });
}

function addBodyTimer(app: App, requestBodyMs: number): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook("preParsing", (request, _reply, payload, done) => {
    if (!request.raw.complete && request.routeOptions.config.streamsBody !== true) {
      timers.set(
        request,
        setTimeout(() => request.raw.destroy(), requestBodyMs),
      );
    }
    done(null, payload);
  });
  app.addHook("preValidation", (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
  app.addHook("onResponse", (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
}

function addErrorAnswers(app: App): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = asInsienError(thrown);
    if (error.code === "internal") request.log.error({ err: error }, "request failed");
    else if (error.status >= 500 && !reply.raw.destroyed) {
      request.log.warn({ code: error.code, reason: error.message }, "request failed");
    }
    const answer = errorAnswerOf(error, request.id);
    void reply.code(answer.status).headers(answer.headers).type("application/json");
    return reply.serializer(JSON.stringify).send(answer.body);
  });
  app.setNotFoundHandler((request) => {
    const path = request.url.split("?", 1)[0];
    throw new InsienError("route_not_found", `There is no ${request.method} ${path} here`);
  });
}

/** One line for each request; the path without its query, which may hold a key. */
function addRequestLog(app: App): void {
  app.addHook("onResponse", (request, reply, done) => {
    request.log.info(
      {
        method: request.method,
        path: request.url.split("?", 1)[0],
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime * 100) / 100,
        keyId: request.principal?.keyId,
      },
      "request",
    );
    done();
  });
}

/** For what is no HTTP request at all: there is no request object to answer on. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const reasons: Record<string, [status: number, message: string]> = {
    HPE_HEADER_OVERFLOW: [431, "The request's headers are larger than is allowed"],
    ERR_HTTP_REQUEST_TIMEOUT: [408, "The request did not arrive in time"],
  };
  const [status, message] = reasons[error.code ?? ""] ?? [400, "This is not a valid HTTP request"];
  const body = JSON.stringify({
    error: new InsienError("invalid_request", message).toBody(newId()),
  });
  socket.end(rawAnswer(status, {}, body));
}

/** A whole HTTP answer as text, for sockets that no server object answers on. */
export function rawAnswer(status: number, headers: Record<string, string>, body: string): string {
  const all = {
    ...headers,
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n${body}`;
}
