import { healthAnswer } from "@insien/protocol";
import type { App, Door } from "../door.ts";

export function addHealthRoutes(app: App, door: Door): void {
  app.route({
    method: "GET",
    url: "/health",
    config: { auth: "open" },
    schema: {
      tags: ["Service"],
      operationId: "health",
      summary: "Whether the service and its database answer",
      security: [],
      response: { 200: healthAnswer, 503: healthAnswer },
    },
    handler: async (_request, reply) => {
      const { database, runtime } = await door.application.health();
      const status = database === "ok" ? "ok" : "degraded";
      return reply
        .code(status === "ok" ? 200 : 503)
        .send({ status, version: door.version, runtime, database });
    },
  });
}
