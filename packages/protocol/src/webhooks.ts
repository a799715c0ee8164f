/**
 * Webhooks: an owner's events, sent to an address as they happen. Signed as Standard Webhooks
 * (standardwebhooks.com) have it: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
 */
import { z } from "zod";
import { eventView } from "./rest.ts";

const eventPattern = z
  .string()
  .regex(
    /^(?:\*|[a-z_]+\.(?:\*|[a-z_]+))$/,
    "must be an event such as sandbox.created, sandbox.* or *",
  );

const webhookUrl = z
  .string()
  .max(2048)
  .refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    "must be an http or https URL",
  )
  .refine(
    (text) => !URL.canParse(text) || `${new URL(text).username}${new URL(text).password}` === "",
    "must have no user and password in it: what is sent is signed, which says more",
  );

export const createWebhookBody = z.strictObject({
  url: webhookUrl,
  /** Every event by default. */
  events: z.array(eventPattern).min(1).max(64).optional(),
  description: z.string().max(256).optional(),
});
export type CreateWebhookBody = z.infer<typeof createWebhookBody>;

export const changeWebhookBody = z.strictObject({
  url: webhookUrl.optional(),
  events: z.array(eventPattern).min(1).max(64).optional(),
  description: z.string().max(256).optional(),
  active: z.boolean().optional(),
});

export const webhookView = z.object({
  id: z.string(),
  url: z.string(),
  events: z.array(z.string()),
  description: z.string().optional(),
  active: z.boolean(),
  /** Why it was switched off, when that was not its owner. */
  inactive_reason: z.string().optional(),
  created_at: z.string(),
});
export type WebhookView = z.infer<typeof webhookView>;
export const webhookList = z.object({ items: z.array(webhookView) });
/** The secret that signs is in this answer and nowhere else. */
export const createdWebhook = webhookView.extend({ secret: z.string() });

export const DELIVERY_STATES = ["pending", "delivered", "failed"] as const;
export const deliveryView = z.object({
  id: z.string(),
  /** A test, of the type webhook.test, is of no sandbox. */
  event: eventView.partial({ sequence: true, sandbox_id: true }),
  state: z.enum(DELIVERY_STATES),
  attempts: z.number(),
  /** Of the last attempt. */
  response_status: z.number().optional(),
  error: z.string().optional(),
  created_at: z.string(),
  last_attempt_at: z.string().optional(),
  next_attempt_at: z.string().optional(),
});
export type DeliveryView = z.infer<typeof deliveryView>;
export const deliveriesQuery = z.strictObject({
  state: z.enum(DELIVERY_STATES).optional(),
  limit: z.coerce.number().int().min(1).max(200).optional(),
  cursor: z.string().max(256).optional(),
});
export const deliveryList = z.object({
  items: z.array(deliveryView),
  next_cursor: z.string().optional(),
});
export const webhookIdParam = z.object({ id: z.string().min(1).max(64) });
export const deliveryIdParam = webhookIdParam.extend({ delivery_id: z.string().min(1).max(64) });
export const deletedWebhook = z.object({ deleted: z.boolean() });

/** What is sent, as Standard Webhooks recommends it, and where it happened. */
export const webhookMessage = z.object({
  type: z.string(),
  timestamp: z.string(),
  sequence: z.number().optional(),
  sandbox_id: z.string().optional(),
  data: z.record(z.string(), z.unknown()),
});
export type WebhookMessage = z.infer<typeof webhookMessage>;
