/** `client.webhooks`: your sandboxes' events, sent to addresses of yours as they happen. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import {
  facts,
  boolean,
  date,
  integer,
  list,
  matching,
  number,
  object,
  oneOf,
  optional,
  requestOf,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const WEBHOOKS = "/api/v1/webhooks";
const webhookPath = (id: string, rest = ""): string =>
  `${WEBHOOKS}/${encodeURIComponent(id)}${rest}`;

const webhookFields = {
  id: text,
  url: text,
  events: list(text),
  description: optional(text),
  active: boolean,
  /** Why it was switched off, when that was not its owner. */
  inactiveReason: optional(text),
  createdAt: date,
};
const webhook = object(webhookFields);
export type Webhook = ValueOf<typeof webhook>;

const createdWebhook = object({
  ...webhookFields,
  /** What `verifyWebhook` needs. It is in this answer and nowhere else. */
  secret: text,
});
export type CreatedWebhook = ValueOf<typeof createdWebhook>;

const delivery = object({
  id: text,
  event: object({
    /** A test is of no sandbox and has no sequence. */
    sequence: optional(number()),
    sandboxId: optional(text),
    type: text,
    at: date,
    data: facts,
  }),
  state: oneOf("pending", "delivered", "failed"),
  attempts: number(),
  /** Of the last attempt. */
  responseStatus: optional(number()),
  error: optional(text),
  createdAt: date,
  lastAttemptAt: optional(date),
  nextAttemptAt: optional(date),
});
export type WebhookDelivery = ValueOf<typeof delivery>;

export interface WebhookSettings {
  url: string;
  /** Such as "sandbox.created", "sandbox.*" or "*"; every event by default. */
  events?: string[] | undefined;
  description?: string | undefined;
}

export interface WebhookChange extends Partial<WebhookSettings> {
  active?: boolean | undefined;
}

const url = matching(/^https?:\/\/./, "an http or https URL");
const events = list(
  matching(/^(?:\*|[a-z_]+\.(?:\*|[a-z_]+))$/, "an event such as sandbox.created, sandbox.* or *"),
  { least: 1, most: 64 },
);
const createRequest = object<WebhookSettings>({
  url,
  events: optional(events),
  description: optional(text),
});
const changeRequest = object<WebhookChange>({
  url: optional(url),
  events: optional(events),
  description: optional(text),
  active: optional(boolean),
});

interface DeliveriesQuery {
  state?: "pending" | "delivered" | "failed" | undefined;
  /** How many to ask for at once. */
  pageSize?: number | undefined;
}
export interface DeliveriesOptions extends RequestOptions, DeliveriesQuery {}
const deliveriesQuery = object<DeliveriesQuery>({
  state: optional(oneOf("pending", "delivered", "failed")),
  pageSize: optional(integer(1, 200)),
});
const webhookPage = object({ items: list(webhook) });
const deliveryPage = object({ items: list(delivery), nextCursor: optional(text) });

export class Webhooks {
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  /** The answer alone has the secret that deliveries are signed with. */
  async create(settings: WebhookSettings, options: RequestOptions = {}): Promise<CreatedWebhook> {
    const json = requestOf(createRequest, settings);
    return this.#api.json("POST", WEBHOOKS, { ...options, json, answer: createdWebhook });
  }

  async list(options: RequestOptions = {}): Promise<Webhook[]> {
    return (await this.#api.json("GET", WEBHOOKS, { ...options, answer: webhookPage })).items;
  }

  /** Throws `webhook_not_found`. */
  async get(id: string, options: RequestOptions = {}): Promise<Webhook> {
    return this.#api.json("GET", webhookPath(id), { ...options, answer: webhook });
  }

  /** What is left out stays as it is. */
  async update(id: string, change: WebhookChange, options: RequestOptions = {}): Promise<Webhook> {
    const json = requestOf(changeRequest, change);
    return this.#api.json("PATCH", webhookPath(id), { ...options, json, answer: webhook });
  }

  /** `false` when there was none. */
  delete(id: string, options: RequestOptions = {}): Promise<boolean> {
    return this.#api.remove(webhookPath(id), "webhook_not_found", options);
  }

  /** Sends an event of the type `webhook.test`. */
  async test(id: string, options: RequestOptions = {}): Promise<WebhookDelivery> {
    return this.#api.json("POST", webhookPath(id, "/test"), { ...options, answer: delivery });
  }

  /** What was sent and what became of it, newest first, a page at a time. */
  async *deliveries(
    id: string,
    options: DeliveriesOptions = {},
  ): AsyncGenerator<WebhookDelivery, void, undefined> {
    const { state, pageSize, signal, requestTimeoutMs } = options;
    requestOf(deliveriesQuery, { state, pageSize });
    let cursor: string | undefined;
    do {
      const query = { state, limit: pageSize, cursor };
      const call = { signal, requestTimeoutMs, query, answer: deliveryPage };
      const page = await this.#api.json("GET", webhookPath(id, "/deliveries"), call);
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }

  /** Sends a delivery once more, whatever became of it. */
  async replay(
    id: string,
    deliveryId: string,
    options: RequestOptions = {},
  ): Promise<WebhookDelivery> {
    const path = webhookPath(id, `/deliveries/${encodeURIComponent(deliveryId)}/replay`);
    return this.#api.json("POST", path, { ...options, answer: delivery });
  }
}
