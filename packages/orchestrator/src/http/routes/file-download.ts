import { InsienError } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type AgentDownload, downloadFromAgent } from "../agent-download.ts";
import { requestAgent } from "../agent-request.ts";
import type { Door } from "../door.ts";
import { sendRawBody } from "../raw-body.ts";
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
    const type = { "content-type": "application/octet-stream" };
    const head = {
      status: answer.status,
      headers: { ...type, ...picked(answer.headers, ANSWER_HEADERS) },
    };
    sendRawBody(reply, head, answer.body, { lengthBytes: bodyLength(answer) });
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  return reply;
}

function bodyLength({ status, headers }: AgentDownload): number {
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
