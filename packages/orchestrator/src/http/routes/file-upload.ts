import { pipeline } from "node:stream/promises";
import { InsienError } from "@insien/protocol";
import { takeBody } from "@insien/sockets";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { agentRefusal, requestAgent, shortText } from "../agent-request.ts";
import { uploadToAgent } from "../agent-upload.ts";
import type { Door } from "../door.ts";
import { type FileWay, giveUpWhenIdle, picked, wayToFile } from "./file-request.ts";

export const writtenAnswer = z.object({ path: z.string(), size: z.number() });

/** What the agent is told of the client's request. */
const REQUEST_HEADERS = ["content-length", "content-type"];
/** Uploads of more go past the parser, at the price of their connection; others keep it. */
const TAKEN_BODY_BYTES = 1024 * 1024;

/** How an upload finds its way, and what is to be in the agent's answer to it. */
export interface UploadKind {
  way(door: Door, request: FastifyRequest, reply: FastifyReply): Promise<FileWay>;
  answer: z.ZodType;
}

const FILE: UploadKind = { way: wayToFile, answer: writtenAnswer };

/** Takes a file of any size to the agent as it comes. */
export async function upload(
  door: Door,
  request: FastifyRequest,
  reply: FastifyReply,
  kind: UploadKind = FILE,
) {
  giveUpWhenIdle(request.raw.socket, reply, door.limits.transferIdleMs);
  const headers = picked(request.headers, REQUEST_HEADERS);
  const { connector, path, signal, shown } = await kind.way(door, request, reply);
  const answered = (text: string) => reply.send(withPath(checked(text, kind), shown));
  const body = await takeBody(request.raw, reply.raw, {
    minimumBytes: TAKEN_BODY_BYTES,
    lingerMs: door.limits.closeMs,
  });
  if (body !== undefined) {
    const answer = await uploadToAgent(connector, { path, headers }, { body, signal });
    return answered(answer);
  }
  const options = { method: "PUT", path, headers, signal };
  const response = await requestAgent(connector, options, (toAgent) => {
    // A failure on either side ends both, and is told by the request's own error event.
    pipeline(request.raw, toAgent).catch(() => toAgent.destroy());
  });
  // An agent that refuses has stopped reading; the rest of the upload must not hold its connection.
  if ((response.statusCode ?? 502) >= 400) {
    void reply.header("connection", "close");
    throw await agentRefusal(response);
  }
  return answered(await shortText(response));
}

function withPath(answer: unknown, shown: FileWay["shown"]): unknown {
  const { path } = answer as { path?: unknown };
  return shown === undefined || typeof path !== "string"
    ? answer
    : { ...(answer as object), path: shown(path) };
}

/** The agent is not trusted: nothing of its answer goes on but what was to be in it. */
function checked(answer: string, { answer: schema }: UploadKind): unknown {
  try {
    return schema.parse(JSON.parse(answer));
  } catch (cause) {
    throw new InsienError("internal", "The agent's answer to an upload says nothing of it", {
      cause,
    });
  }
}
