import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AGENT_PATHS, type fileQuery, type sandboxIdParam } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import { agentRefusal } from "../agent-request.ts";
import { type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";

/** What the client is told of the agent's answer. */
export const ANSWER_HEADERS = [
  "content-length",
  "content-range",
  "content-type",
  "accept-ranges",
  "etag",
  "last-modified",
];

interface FileRequest {
  params: z.infer<typeof sandboxIdParam>;
  query: z.infer<typeof fileQuery>;
}

/** The line to the sandbox of the request, and the agent's path for the file it names. */
export async function wayToFile(door: Door, request: FastifyRequest, reply: FastifyReply) {
  const { params, query } = request as FileRequest;
  const signal = clientGone(reply);
  const id = sandboxIdOf(params.id);
  const connector = await door.application.sandboxes.connect(principalOf(request), id, { signal });
  const search = new URLSearchParams({ path: query.path });
  if (query.mode !== undefined) search.set("mode", query.mode);
  if (query.user !== undefined) search.set("user", query.user);
  return { connector, path: `${AGENT_PATHS.files}?${search.toString()}`, signal };
}

/** Passes on what the agent answered, or throws its refusal. */
export async function relay(
  response: IncomingMessage,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  const status = response.statusCode ?? 502;
  if (status >= 400 && request.method !== "HEAD") throw await agentRefusal(response);
  void reply.code(status).headers(picked(response.headers, ANSWER_HEADERS));
  return reply.send(response);
}

export function picked(
  headers: IncomingHttpHeaders,
  names: readonly string[],
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string") found[name] = value;
  }
  return found;
}

/** Ends a transfer that moves no byte for too long; the socket's timer counts both directions. */
export function giveUpWhenIdle(socket: Socket, reply: FastifyReply, transferIdleMs: number): void {
  const giveUp = () => socket.destroy();
  socket.setTimeout(transferIdleMs, giveUp);
  reply.raw.once("close", () => {
    socket.off("timeout", giveUp);
    socket.setTimeout(0);
  });
}
