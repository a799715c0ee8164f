import { fileQuery, sandboxIdParam } from "@insien/protocol";
import { z } from "zod";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { download, inspect } from "./file-download.ts";
import { upload, writtenAnswer } from "./file-upload.ts";

const tags = ["Files"];
const fileBytes = { content: { "application/octet-stream": { schema: z.string() } } };

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
