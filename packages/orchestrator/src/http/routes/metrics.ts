import { z } from "zod";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

/** What requests that match no route are counted as: their paths are anybody's. */
const NO_ROUTE = "(none)";

export function addMetricsRoute(app: App, door: Door): void {
  app.route({
    method: "GET",
    url: "/metrics",
    schema: {
      tags: ["Service"],
      operationId: "metrics",
      summary: "The server's numbers as Prometheus reads them (administrators)",
      response: withErrors({ 200: z.string() }),
    },
    handler: async (request, reply) => {
      const { contentType, text } = await door.application.metrics.read(principalOf(request));
      return reply.type(contentType).serializer(String).send(text);
    },
  });
}

export function countRequests(app: App, door: Pick<Door, "application">): void {
  app.addHook("onResponse", (request, reply, done) => {
    door.application.metrics.request({
      method: request.method,
      route: request.routeOptions.url ?? NO_ROUTE,
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1000,
    });
    done();
  });
}
