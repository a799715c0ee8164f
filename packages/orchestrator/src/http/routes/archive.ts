import { posix } from "node:path";
import {
  AGENT_PATHS,
  InsienError,
  archiveQuery,
  sandboxIdParam,
  unpackQuery,
} from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { downloadFromAgent } from "../agent-download.ts";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { sendRawBody } from "../raw-body.ts";
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
  const options = { signal, version: "1.1" as const };
  const answer = await downloadFromAgent(connector, { path, headers: {} }, options);
  const ends = AbortSignal.any([signal, connector.lost]);
  ends.addEventListener("abort", () => answer.body.destroy(), { once: true });
  try {
    if (answer.status !== 200 || answer.headers["transfer-encoding"] !== "chunked")
      throw new InsienError("internal", `The agent answered an export with ${answer.status}`);
    const filename = `${posix.basename(posix.resolve("/", folder)) || "files"}.${format}`;
    const headers = {
      "content-type": TYPES[format],
      "content-disposition": attachment(filename),
    };
    sendRawBody(reply, { status: 200, headers }, answer.body, "chunked");
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  return reply;
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
