import { InsienError } from "@insien/protocol";
import { copyBytes } from "@insien/sockets";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type AgentDownload, downloadFromAgent } from "../agent-download.ts";
import { requestAgent } from "../agent-request.ts";
import type { Door } from "../door.ts";
import { ANSWER_HEADERS, giveUpWhenIdle, picked, relay, wayToFile } from "./file-request.ts";

/** What the agent is told of the client's request. */
const REQUEST_HEADERS = ["range", "if-range", "if-none-match", "if-modified-since"];

export async function download(door: Door, request: FastifyRequest, reply: FastifyReply) {
  giveUpWhenIdle(request.raw.socket, reply, door.limits.transferIdleMs);
  const headers = picked(request.headers, REQUEST_HEADERS);
  const { connector, path, signal } = await wayToFile(door, request, reply);
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

export async function inspect(door: Door, request: FastifyRequest, reply: FastifyReply) {
  const headers = picked(request.headers, REQUEST_HEADERS);
  const { connector, path, signal } = await wayToFile(door, request, reply);
  const options = { method: "HEAD", path, headers, signal };
  return relay(await requestAgent(connector, options, (toAgent) => toAgent.end()), request, reply);
}
