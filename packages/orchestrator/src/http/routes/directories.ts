import {
  directoryList,
  directoryQuery,
  madeDirectory,
  makeDirectoryQuery,
  sandboxIdParam,
} from "@insien/protocol";
import { callAgent } from "../../line/agent-call.ts";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { fileInfosView } from "../file-info-view.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Files"];

export function addDirectoryRoutes(app: App, door: Door): void {
  const { sandboxes } = door.application;
  const url = "/api/v1/sandboxes/:id/directories";

  app.route({
    method: "GET",
    url,
    schema: {
      tags,
      operationId: "listDirectory",
      summary: "List a directory",
      params: sandboxIdParam,
      querystring: directoryQuery,
      response: withErrors({ 200: directoryList }),
    },
    handler: async (request, reply) => {
      const options = { signal: clientGone(reply) };
      const id = sandboxIdOf(request.params.id);
      const connector = await sandboxes.connect(principalOf(request), id, options);
      const { query } = request;
      const listing = await callAgent(connector, "listDirectory", query, options);
      return { items: fileInfosView(listing.entries), truncated: listing.truncated === true };
    },
  });

  app.route({
    method: "POST",
    url,
    schema: {
      tags,
      operationId: "makeDirectory",
      summary: "Make a directory, and those above it that are missing",
      params: sandboxIdParam,
      querystring: makeDirectoryQuery,
      response: withErrors({ 200: madeDirectory }),
    },
    handler: async (request, reply) => {
      const options = { signal: clientGone(reply) };
      const id = sandboxIdOf(request.params.id);
      const connector = await sandboxes.connect(principalOf(request), id, options);
      const { path, mode, user } = request.query;
      const wish = { path, user, mode: mode === undefined ? undefined : Number.parseInt(mode, 8) };
      const made = await callAgent(connector, "makeDirectory", wish, options);
      return { path: String(made.path), created: made.created === true };
    },
  });
}
