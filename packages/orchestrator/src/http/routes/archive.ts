import { posix } from "node:path";
import { AGENT_PATHS, archiveQuery, sandboxIdParam, unpackQuery } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { agentRefusal, requestAgent } from "../agent-request.ts";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { giveUpWhenIdle, wayToAgent } from "./file-request.ts";
import { type UploadKind, upload } from "./file-upload.ts";

const tags = ["Files"];
const url = "/api/v1/sandboxes/:id/archive";
const TYPES = { zip: "application/zip", tar: "application/x-tar" } as const;
const archiveBytes = {
  content: {
    [TYPES.zip]: { schema: z.string() },
    [TYPES.tar]: { schema: z.string() },
  },
};
const unpackedAnswer = z.object({
  path: z.string(),
  entries: z.number(),
  /** Bytes of the files. */
  size: z.number(),
});

const UNPACK: UploadKind = {
  way: (door, request, reply) => {
    const { path, user } = request.query as z.infer<typeof unpackQuery>;
    const query = { path, user, format: "tar" };
    return wayToAgent(door, request, reply, { path: AGENT_PATHS.archive, query });
  },
  answer: unpackedAnswer,
};

/** Whole folders, as streams that are kept nowhere. To be added beside the routes of files. */
export function addArchiveRoutes(app: App, door: Door): void {
  app.route({
    method: "GET",
    url,
    schema: {
      tags,
      operationId: "downloadArchive",
      summary: "Download a folder of any size as one archive",
      description:
        "It is made while it is sent. An answer that breaks off, rather than ending, is not whole.",
      params: sandboxIdParam,
      querystring: archiveQuery,
      response: withErrors({ 200: archiveBytes }),
    },
    handler: (request, reply) => sendArchive(door, request, reply),
  });

  app.route({
    method: "PUT",
    url,
    config: { streamsBody: true },
    schema: {
      tags,
      operationId: "unpackArchive",
      summary: "Unpack a tar of any size into a folder",
      consumes: [TYPES.tar],
      // For the document alone: the bytes go by as a stream and are never a value to check.
      body: z.string().optional(),
      params: sandboxIdParam,
      querystring: unpackQuery,
      response: withErrors({ 200: unpackedAnswer }),
    },
    handler: (request, reply) => upload(door, request, reply, UNPACK),
  });
}

async function sendArchive(door: Door, request: FastifyRequest, reply: FastifyReply) {
  giveUpWhenIdle(request.raw.socket, reply, door.limits.transferIdleMs);
  const { path: folder, format = "zip" } = request.query as z.infer<typeof archiveQuery>;
  const target = { path: AGENT_PATHS.archive, query: { path: folder, format } };
  const { connector, path, signal } = await wayToAgent(door, request, reply, target);
  // Through the parser, since only chunks tell an archive's end from a break.
  const options = { method: "GET", path, signal };
  const answer = await requestAgent(connector, options, (toAgent) => toAgent.end());
  if (answer.statusCode !== 200) throw await agentRefusal(answer);
  const filename = `${posix.basename(posix.resolve("/", folder)) || "files"}.${format}`;
  return reply.type(TYPES[format]).header("content-disposition", attachment(filename)).send(answer);
}

/** RFC 6266: a plain name for every client, and the very name for those who read UTF-8. */
function attachment(filename: string): string {
  const plain = filename.replaceAll(/[^\w.() -]/g, "_");
  const exact = encodeURIComponent(filename.toWellFormed()).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${exact}`;
}
