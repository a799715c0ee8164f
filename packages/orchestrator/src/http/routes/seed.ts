import {
  createSandboxBody,
  sandboxIdParam,
  seedCreateAnswer,
  seedDestroyAnswer,
  seedStatusAnswer,
} from "@insien/protocol";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Sandboxes (first API)"];

/** The routes of the first API, whose answers are camelCase and stay as they are. */
export function addSeedRoutes(app: App, door: Door): void {
  const { sandboxes } = door.application;

  app.route({
    method: "POST",
    url: "/sandbox/create",
    schema: {
      tags,
      operationId: "sandboxCreate",
      summary: "Create a sandbox and wait until it runs",
      body: createSandboxBody.optional(),
      response: withErrors({ 200: seedCreateAnswer }),
    },
    handler: async (request, reply) => {
      const options = { signal: clientGone(reply) };
      const sandbox = await sandboxes.create(principalOf(request), request.body ?? {}, options);
      return { sandboxId: sandbox.id, agentUrl: door.agentUrl(request, sandbox.id) };
    },
  });

  app.route({
    method: "POST",
    url: "/sandbox/:id/destroy",
    config: { holder: "preferred" },
    schema: {
      tags,
      operationId: "sandboxDestroy",
      summary: "Destroy a sandbox",
      params: sandboxIdParam,
      response: withErrors({ 200: seedDestroyAnswer }),
    },
    handler: async (request) => {
      await sandboxes.destroy(principalOf(request), sandboxIdOf(request.params.id));
      return { success: true, sandboxId: request.params.id };
    },
  });

  app.route({
    method: "GET",
    url: "/sandbox/:id/status",
    config: { holder: "preferred" },
    schema: {
      tags,
      operationId: "sandboxStatus",
      summary: "Whether a sandbox's agent is connected",
      params: sandboxIdParam,
      response: withErrors({ 200: seedStatusAnswer }),
    },
    handler: async (request) => {
      const sandbox = await sandboxes.get(principalOf(request), sandboxIdOf(request.params.id));
      return {
        sandboxId: sandbox.id,
        connected: sandboxes.connected(sandbox.id),
        createdAt: sandbox.createdAt.toISOString(),
      };
    },
  });
}
