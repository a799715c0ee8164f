import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { AGENT_PATHS, InsienError, fileQuery, sandboxIdParam } from "@insien/protocol";
import { copyBytes } from "@insien/sockets";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { type AgentDownload, downloadFromAgent } from "../agent-download.ts";
import { agentRefusal, requestAgent } from "../agent-request.ts";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Files"];
const fileBytes = { content: { "application/octet-stream": { schema: z.string() } } };
const writtenAnswer = z.object({ path: z.string(), size: z.number() });

/** What the agent is told of the client's request, and the client of the agent's answer. */
const REQUEST_HEADERS = ["range", "if-range", "if-none-match", "if-modified-since"];
const UPLOAD_HEADERS = ["content-length", "content-type"];
const ANSWER_HEADERS = [
  "content-length",
  "content-range",
  "content-type",
  "accept-ranges",
  "etag",
  "last-modified",
];

/** Files of any size, passed between client and agent as they come, in neither direction kept. */
export function addFileRoutes(app: App, door: Door): void {
  // Whatever a file's type is, its bytes are not for this server to read.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));

  const common = { params: sandboxIdParam, querystring: fileQuery };
  for (const method of ["GET", "HEAD"] as const) {
    app.route({
      method,
      url: "/api/v1/sandboxes/:id/files",
      schema: {
        tags,
        operationId: method === "GET" ? "downloadFile" : "inspectFile",
        summary: method === "GET" ? "Download a file, or a range of it" : "A file's size",
        ...common,
        response: withErrors({ 200: fileBytes, 206: fileBytes }),
      },
      handler: (request, reply) =>
        method === "GET" ? download(door, request, reply) : inspect(door, request, reply),
    });
  }
  app.route({
    method: "PUT",
    url: "/api/v1/sandboxes/:id/files",
    config: { streamsBody: true },
    schema: {
      tags,
      operationId: "uploadFile",
      summary: "Upload a file of any size; it appears whole or not at all",
      consumes: ["application/octet-stream"],
      // For the document alone: the bytes go by as a stream and are never a value to check.
      body: z.string().optional(),
      ...common,
      response: withErrors({ 200: writtenAnswer }),
    },
    handler: (request, reply) => upload(door, request, reply),
  });
}

interface FileRequest {
  params: z.infer<typeof sandboxIdParam>;
  query: z.infer<typeof fileQuery>;
}

async function download(door: Door, request: FastifyRequest, reply: FastifyReply) {
  giveUpWhenIdle(request.raw.socket, reply, door.limits.transferIdleMs);
  const headers = picked(request.headers, REQUEST_HEADERS);
  const { connector, path, signal } = await way(door, request, reply);
  const answer = await downloadFromAgent(connector, { path, headers }, { signal });
  const ends = AbortSignal.any([signal, connector.lost]);
  ends.addEventListener("abort", () => answer.body.destroy(), { once: true });
  try {
    sendDownload(answer, reply);
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  return reply;
}

/**
 * Writes the head as Node's server does and the body straight to the socket below it: exactly as
 * many bytes as the head promises, since what came after them would be read as the next answer.
 */
function sendDownload({ status, headers, body }: AgentDownload, reply: FastifyReply): void {
  const { raw } = reply;
  const limitBytes = bodyLength(status, headers);
  const type = { "content-type": "application/octet-stream" };
  const all = { ...reply.getHeaders(), ...type, ...picked(headers, ANSWER_HEADERS) };
  for (const [name, value] of Object.entries(all)) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  reply.hijack();
  raw.writeHead(status).flushHeaders();
  if (limitBytes === 0) {
    raw.end();
    body.destroy();
    return;
  }
  // A request that was sent ahead of its turn has no socket yet; its response holds the bytes.
  const letGo = copyBytes(body, raw.socket ?? raw, {
    limitBytes,
    onLimit: () => {
      raw.end();
      body.destroy();
    },
  });
  body.resume();
  body.once("end", () => body.destroy());
  body.once("close", () => {
    letGo();
    // Fewer bytes than were promised: only the connection's end can say so.
    if (!raw.writableEnded) raw.destroy();
  });
}

function bodyLength(status: number, headers: Record<string, string>): number {
  const length = /^\d+$/.exec(headers["content-length"] ?? "")?.[0];
  if (status === 304) return 0;
  if (length !== undefined && (status === 200 || status === 206)) return Number(length);
  throw new InsienError("internal", `The agent answered a download with status ${status}`);
}

async function inspect(door: Door, request: FastifyRequest, reply: FastifyReply) {
  const headers = picked(request.headers, REQUEST_HEADERS);
  const { connector, path, signal } = await way(door, request, reply);
  const options = { method: "HEAD", path, headers, signal };
  return relay(await requestAgent(connector, options, (toAgent) => toAgent.end()), request, reply);
}

async function upload(door: Door, request: FastifyRequest, reply: FastifyReply) {
  giveUpWhenIdle(request.raw.socket, reply, door.limits.transferIdleMs);
  const headers = picked(request.headers, UPLOAD_HEADERS);
  const { connector, path, signal } = await way(door, request, reply);
  const options = { method: "PUT", path, headers, signal };
  const response = await requestAgent(connector, options, (toAgent) => {
    // A failure on either side ends both, and is told by the request's own error event.
    pipeline(request.raw, toAgent).catch(() => toAgent.destroy());
  });
  // An agent that refuses has stopped reading; the rest of the upload must not hold its connection.
  if ((response.statusCode ?? 0) >= 400) void reply.header("connection", "close");
  return relay(response, request, reply);
}

/** The line to the sandbox of the request, and the agent's path for the file it names. */
async function way(door: Door, request: FastifyRequest, reply: FastifyReply) {
  const { params, query } = request as FileRequest;
  const signal = clientGone(reply);
  const id = sandboxIdOf(params.id);
  const connector = await door.application.sandboxes.connect(principalOf(request), id, { signal });
  const search = new URLSearchParams({ path: query.path });
  if (query.mode !== undefined) search.set("mode", query.mode);
  if (query.user !== undefined) search.set("user", query.user);
  return { connector, path: `${AGENT_PATHS.files}?${search.toString()}`, signal };
}

async function relay(response: IncomingMessage, request: FastifyRequest, reply: FastifyReply) {
  const status = response.statusCode ?? 502;
  if (status >= 400 && request.method !== "HEAD") throw await agentRefusal(response);
  void reply.code(status).headers(picked(response.headers, ANSWER_HEADERS));
  return reply.send(response);
}

function picked(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string") found[name] = value;
  }
  return found;
}

/** Ends a transfer that moves no byte for too long; the socket's timer counts both directions. */
function giveUpWhenIdle(socket: Socket, reply: FastifyReply, transferIdleMs: number): void {
  const giveUp = () => socket.destroy();
  socket.setTimeout(transferIdleMs, giveUp);
  reply.raw.once("close", () => {
    socket.off("timeout", giveUp);
    socket.setTimeout(0);
  });
}
