import {
  deliveriesQuery,
  deliveryIdParam,
  deliveryList,
  deliveryView as deliverySchema,
  webhookIdParam,
} from "@insien/protocol";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { deliveryView } from "../webhook-view.ts";

const tags = ["Webhooks"];

export function addWebhookDeliveryRoutes(app: App, door: Door): void {
  const { webhooks } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/webhooks/:id/deliveries",
    schema: {
      tags,
      operationId: "listWebhookDeliveries",
      summary: "What was sent, or waits to be, the newest first",
      params: webhookIdParam,
      querystring: deliveriesQuery,
      response: withErrors({ 200: deliveryList }),
    },
    handler: async (request) => {
      const query = withoutAbsent(request.query);
      const page = await webhooks.deliveries(principalOf(request), request.params.id, query);
      return { items: page.items.map(deliveryView), next_cursor: page.nextCursor };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/webhooks/:id/deliveries/:delivery_id/replay",
    schema: {
      tags,
      operationId: "replayWebhookDelivery",
      summary: "Send a delivery again, under the same webhook-id",
      params: deliveryIdParam,
      response: withErrors({ 202: deliverySchema }),
    },
    handler: async (request, reply) => {
      const { id, delivery_id: deliveryId } = request.params;
      const delivery = await webhooks.replay(principalOf(request), id, deliveryId);
      return reply.code(202).send(deliveryView(delivery));
    },
  });
}

type Present<Values> = { [Key in keyof Values]: Exclude<Values[Key], undefined> };

/** What was not said must not be passed on as being `undefined`: that would clear it. */
export function withoutAbsent<Values extends object>(values: Values): Present<Values> {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as Present<Values>;
}
