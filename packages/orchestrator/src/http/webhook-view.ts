import type { DeliveryView, WebhookView } from "@insien/protocol";
import type { Webhook, WebhookDelivery } from "../app/webhooks.ts";

/** Names every field it sends: the secret is none of them. */
export const webhookView = (webhook: Webhook): WebhookView => ({
  id: webhook.id,
  url: webhook.url,
  events: webhook.events,
  description: webhook.description,
  active: webhook.active,
  inactive_reason: webhook.inactiveReason,
  created_at: webhook.createdAt.toISOString(),
});

export const deliveryView = (delivery: WebhookDelivery): DeliveryView => ({
  id: delivery.id,
  event: {
    sequence: delivery.eventSequence,
    sandbox_id: delivery.sandboxId,
    type: delivery.event.type,
    at: delivery.event.at,
    data: delivery.event.data,
  },
  state: delivery.state,
  attempts: delivery.attempts,
  response_status: delivery.responseStatus,
  error: delivery.error,
  created_at: delivery.createdAt.toISOString(),
  last_attempt_at: delivery.lastAttemptAt?.toISOString(),
  next_attempt_at: delivery.nextAttemptAt?.toISOString(),
});
