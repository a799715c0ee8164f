import { eventList, eventsQuery, sandboxIdParam } from "@insien/protocol";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { eventView } from "../sandbox-view.ts";

export function addEventRoutes(app: App, door: Door): void {
  app.route({
    method: "GET",
    url: "/api/v1/sandboxes/:id/events",
    config: { holder: "unneeded" },
    schema: {
      tags: ["Sandboxes"],
      operationId: "listEvents",
      summary: "What happened to a sandbox, oldest first",
      description: "`after` is the `sequence` of the last event you have seen.",
      params: sandboxIdParam,
      querystring: eventsQuery,
      response: withErrors({ 200: eventList }),
    },
    handler: async (request) => {
      const { after, limit } = request.query;
      const id = sandboxIdOf(request.params.id);
      const events = await door.application.sandboxes.events(principalOf(request), id, {
        ...(after === undefined ? {} : { after }),
        ...(limit === undefined ? {} : { limit }),
      });
      return { items: events.map(eventView) };
    },
  });
}
