import { execAnswer, execBody, sandboxIdParam } from "@insien/protocol";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

export function addExecRoutes(app: App, door: Door): void {
  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/exec",
    schema: {
      tags: ["Commands"],
      operationId: "exec",
      summary: "Run a command to its end",
      params: sandboxIdParam,
      body: execBody,
      response: withErrors({ 200: execAnswer }),
    },
    handler: async (request, reply) => {
      const id = sandboxIdOf(request.params.id);
      const options = { signal: clientGone(reply) };
      return door.application.sandboxes.exec(principalOf(request), id, request.body, options);
    },
  });
}
