import { fileQuery, sandboxIdParam } from "@insien/protocol";
import { z } from "zod";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { ofVolume } from "../path-meant.ts";
import { download, inspect } from "./file-download.ts";
import { upload, writtenAnswer } from "./file-upload.ts";

const tags = ["Files"];
const fileBytes = { content: { "application/octet-stream": { schema: z.string() } } };

/** Where files are addressed: in a whole sandbox, or in one of its volumes. */
const PLACES = [
  { url: "/api/v1/sandboxes/:id/files", params: sandboxIdParam, operation: "File", of: "a file" },
  {
    url: "/api/v1/sandboxes/:id/volumes/:volume/files",
    params: ofVolume(sandboxIdParam),
    operation: "VolumeFile",
    of: "a file of a volume that the sandbox mounts",
  },
];

/** Files of any size, passed between client and agent as they come, in neither direction kept. */
export function addFileRoutes(app: App, door: Door): void {
  // Whatever a file's type is, its bytes are not for this server to read.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  for (const place of PLACES) addFilesOf(place, app, door);
}

function addFilesOf(
  { url, params, operation, of }: (typeof PLACES)[number],
  app: App,
  door: Door,
): void {
  const common = { params, querystring: fileQuery };
  for (const method of ["GET", "HEAD"] as const) {
    app.route({
      method,
      url,
      schema: {
        tags,
        operationId: method === "GET" ? `download${operation}` : `inspect${operation}`,
        summary: method === "GET" ? `Download ${of}, or a range of it` : `The size of ${of}`,
        ...common,
        response: withErrors({ 200: fileBytes, 206: fileBytes }),
      },
      handler: (request, reply) =>
        method === "GET" ? download(door, request, reply) : inspect(door, request, reply),
    });
  }
  app.route({
    method: "PUT",
    url,
    config: { streamsBody: true },
    schema: {
      tags,
      operationId: `upload${operation}`,
      summary: `Upload ${of}, of any size; it appears whole or not at all`,
      consumes: ["application/octet-stream"],
      // For the document alone: the bytes go by as a stream and are never a value to check.
      body: z.string().optional(),
      ...common,
      response: withErrors({ 200: writtenAnswer }),
    },
    handler: (request, reply) => upload(door, request, reply),
  });
}
