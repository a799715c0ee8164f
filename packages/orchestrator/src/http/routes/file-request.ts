import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { AGENT_PATHS, type fileQuery, type sandboxIdParam } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { AgentConnector } from "../../line/agent-connector.ts";
import { agentRefusal } from "../agent-request.ts";
import { type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { type MeantPath, pathMeant } from "../path-meant.ts";

/** What the client is told of the agent's answer. */
export const ANSWER_HEADERS = [
  "content-length",
  "content-range",
  "content-type",
  "accept-ranges",
  "etag",
  "last-modified",
];

/** Where a request about a sandbox's files goes. */
export interface FileWay {
  connector: AgentConnector;
  /** Of the agent, with its query. */
  path: string;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
  /** Paths of the answer as who asked knows them; as they are, when absent. */
  shown?: MeantPath["shown"];
}

/** The line to the sandbox of the request. */
export async function wayToAgent(
  door: Door,
  request: FastifyRequest,
  reply: FastifyReply,
  target: { path: string; query: Record<string, string | undefined> },
): Promise<FileWay> {
  const signal = clientGone(reply);
  const id = sandboxIdOf((request.params as z.infer<typeof sandboxIdParam>).id);
  const connector = await door.application.sandboxes.connect(principalOf(request), id, { signal });
  const query = Object.entries(target.query).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  return { connector, path: `${target.path}?${new URLSearchParams(query).toString()}`, signal };
}

/** The way to the file that the request names. */
export async function wayToFile(
  door: Door,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FileWay> {
  const given = request.query as z.infer<typeof fileQuery>;
  const { path, root, shown } = await pathMeant(door, request, given.path);
  const target = { path: AGENT_PATHS.files, query: { ...given, path, root } };
  return { ...(await wayToAgent(door, request, reply, target)), shown };
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
