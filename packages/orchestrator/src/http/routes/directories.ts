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
import { ofVolume, pathMeant } from "../path-meant.ts";

const tags = ["Files"];

/** Where directories are addressed: in a whole sandbox, or in one of its volumes. */
const PLACES = [
  {
    url: "/api/v1/sandboxes/:id/directories",
    params: sandboxIdParam,
    operation: "Directory",
    within: "",
  },
  {
    url: "/api/v1/sandboxes/:id/volumes/:volume/directories",
    params: ofVolume(sandboxIdParam),
    operation: "VolumeDirectory",
    within: " of a volume that the sandbox mounts",
  },
];

export function addDirectoryRoutes(app: App, door: Door): void {
  for (const place of PLACES) addDirectoriesOf(place, app, door);
}

function addDirectoriesOf(
  { url, params, operation, within }: (typeof PLACES)[number],
  app: App,
  door: Door,
): void {
  const { sandboxes } = door.application;

  app.route({
    method: "GET",
    url,
    schema: {
      tags,
      operationId: `list${operation}`,
      summary: `List a directory${within}`,
      params,
      querystring: directoryQuery,
      response: withErrors({ 200: directoryList }),
    },
    handler: async (request, reply) => {
      const options = { signal: clientGone(reply) };
      const id = sandboxIdOf(request.params.id);
      const { path, root, shown } = await pathMeant(door, request, request.query.path);
      const connector = await sandboxes.connect(principalOf(request), id, options);
      const query = { ...request.query, path, root };
      const listing = await callAgent(connector, "listDirectory", query, options);
      const items = fileInfosView(listing.entries).map((file) => ({
        ...file,
        path: shown(file.path),
      }));
      return { items, truncated: listing.truncated === true };
    },
  });

  app.route({
    method: "POST",
    url,
    schema: {
      tags,
      operationId: `make${operation}`,
      summary: `Make a directory${within}, and those above it that are missing`,
      params,
      querystring: makeDirectoryQuery,
      response: withErrors({ 200: madeDirectory }),
    },
    handler: async (request, reply) => {
      const options = { signal: clientGone(reply) };
      const id = sandboxIdOf(request.params.id);
      const { mode, user } = request.query;
      const { path, root, shown } = await pathMeant(door, request, request.query.path);
      const connector = await sandboxes.connect(principalOf(request), id, options);
      const bits = mode === undefined ? undefined : Number.parseInt(mode, 8);
      const wish = { path, root, user, mode: bits };
      const made = await callAgent(connector, "makeDirectory", wish, options);
      return { path: shown(String(made.path)), created: made.created === true };
    },
  });
}
