import {
  changeWebhookBody,
  createWebhookBody,
  createdWebhook,
  deletedWebhook,
  deliveryView as deliverySchema,
  webhookIdParam,
  webhookList,
  webhookView as webhookSchema,
} from "@insien/protocol";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { deliveryView, webhookView } from "../webhook-view.ts";
import { withoutAbsent } from "./webhook-deliveries.ts";

const tags = ["Webhooks"];

export function addWebhookRoutes(app: App, door: Door): void {
  const { webhooks } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/webhooks",
    schema: {
      tags,
      operationId: "listWebhooks",
      summary: "List webhooks, the oldest first",
      response: withErrors({ 200: webhookList }),
    },
    handler: async (request) => {
      const list = await webhooks.list(principalOf(request));
      return { items: list.map(webhookView) };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/webhooks",
    schema: {
      tags,
      operationId: "createWebhook",
      summary: "Have events of your sandboxes sent to an address",
      description:
        "Signed as standardwebhooks.com has it. The secret is in this answer and nowhere else.",
      body: createWebhookBody,
      response: withErrors({ 201: createdWebhook }),
    },
    handler: async (request, reply) => {
      const { url, ...rest } = request.body;
      const created = await webhooks.create(principalOf(request), { url, ...withoutAbsent(rest) });
      return reply.code(201).send({ ...webhookView(created), secret: created.secret });
    },
  });

  app.route({
    method: "GET",
    url: "/api/v1/webhooks/:id",
    schema: {
      tags,
      operationId: "getWebhook",
      summary: "One webhook",
      params: webhookIdParam,
      response: withErrors({ 200: webhookSchema }),
    },
    handler: async (request) =>
      webhookView(await webhooks.get(principalOf(request), request.params.id)),
  });

  app.route({
    method: "PATCH",
    url: "/api/v1/webhooks/:id",
    schema: {
      tags,
      operationId: "changeWebhook",
      summary: "Change a webhook, or switch it off and on",
      description:
        "One that is switched off gives up what waits for it, and gets nothing of what happens meanwhile.",
      params: webhookIdParam,
      body: changeWebhookBody,
      response: withErrors({ 200: webhookSchema }),
    },
    handler: async (request) => {
      const changes = withoutAbsent(request.body);
      return webhookView(await webhooks.change(principalOf(request), request.params.id, changes));
    },
  });

  app.route({
    method: "DELETE",
    url: "/api/v1/webhooks/:id",
    schema: {
      tags,
      operationId: "deleteWebhook",
      summary: "Delete a webhook and its log; `deleted` is false when there was none",
      params: webhookIdParam,
      response: withErrors({ 200: deletedWebhook }),
    },
    handler: async (request) => ({
      deleted: await webhooks.remove(principalOf(request), request.params.id),
    }),
  });

  app.route({
    method: "POST",
    url: "/api/v1/webhooks/:id/test",
    schema: {
      tags,
      operationId: "testWebhook",
      summary: "Have an event of the type webhook.test sent; its delivery tells what came of it",
      params: webhookIdParam,
      response: withErrors({ 202: deliverySchema }),
    },
    handler: async (request, reply) => {
      const delivery = await webhooks.test(principalOf(request), request.params.id);
      return reply.code(202).send(deliveryView(delivery));
    },
  });
}
