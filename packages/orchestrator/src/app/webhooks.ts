/** Webhooks as their owners see them; what sends them is in webhooks/. */
import { InsienError, LIMITS, newId } from "@insien/protocol";
import { randomBytes } from "node:crypto";
import type {
  DeliveryQuery,
  DeliveryRecord,
  DeliveryRows,
  WebhookChanges,
  WebhookRecord,
  WebhookRows,
} from "../db/index.ts";
import type { Principal } from "./principal.ts";

export type Webhook = Omit<WebhookRecord, "secret" | "afterSequence">;
export type WebhookDelivery = DeliveryRecord;

/** All but `list` and `create` throw `webhook_not_found` for what is not there or another owner's. */
export interface Webhooks {
  create(
    principal: Principal,
    body: { url: string; events?: string[]; description?: string },
  ): Promise<Webhook & { secret: string }>;
  list(principal: Principal): Promise<Webhook[]>;
  get(principal: Principal, id: string): Promise<Webhook>;
  change(principal: Principal, id: string, changes: WebhookChanges): Promise<Webhook>;
  /** `false` when there was none. */
  remove(principal: Principal, id: string): Promise<boolean>;
  /** Has a `webhook.test` sent. */
  test(principal: Principal, id: string): Promise<WebhookDelivery>;
  deliveries(
    principal: Principal,
    id: string,
    query: DeliveryQuery,
  ): Promise<{ items: WebhookDelivery[]; nextCursor: string | undefined }>;
  /** Has it sent again, with the same id, by which its receiver knows it. */
  replay(principal: Principal, id: string, deliveryId: string): Promise<WebhookDelivery>;
}

/** Recognised by people, secret scanners and the libraries of standardwebhooks.com. */
const SECRET_PREFIX = "whsec_";
const SECRET_BYTES = 32;
const EVERY_EVENT = ["*"];

export class OwnedWebhooks implements Webhooks {
  readonly #rows: WebhookRows;
  readonly #deliveries: DeliveryRows;
  readonly #leadsInside: (url: string) => boolean;

  constructor(
    rows: WebhookRows,
    deliveries: DeliveryRows,
    /** Whether deliveries to a URL would be refused in any case. */
    leadsInside: (url: string) => boolean,
  ) {
    this.#rows = rows;
    this.#deliveries = deliveries;
    this.#leadsInside = leadsInside;
  }

  async create(
    { ownerId }: Principal,
    { url, events, description }: { url: string; events?: string[]; description?: string },
  ): Promise<Webhook & { secret: string }> {
    this.#refuseInside(url);
    const webhook = {
      id: newId(),
      ownerId,
      url,
      secret: `${SECRET_PREFIX}${randomBytes(SECRET_BYTES).toString("base64")}`,
      events: events ?? EVERY_EVENT,
      description,
      active: true,
      inactiveReason: undefined,
      failures: 0,
      createdAt: new Date(),
    };
    const maximum = LIMITS.webhooksPerOwner.value;
    if (await this.#rows.insert(webhook, maximum)) return webhook;
    throw new InsienError(
      "limit_reached",
      `There are ${maximum} webhooks already, which is the most one owner may have`,
      { details: { limit: maximum } },
    );
  }

  async list({ ownerId }: Principal): Promise<Webhook[]> {
    return this.#rows.list(ownerId);
  }

  async get({ ownerId }: Principal, id: string): Promise<Webhook> {
    return found(await this.#rows.get(ownerId, id), id);
  }

  async change(principal: Principal, id: string, changes: WebhookChanges): Promise<Webhook> {
    if (changes.url !== undefined) this.#refuseInside(changes.url);
    // A statement that sets nothing is none.
    if (Object.keys(changes).length === 0) return this.get(principal, id);
    return found(await this.#rows.change(principal.ownerId, id, changes), id);
  }

  /** Told at once rather than by deliveries that fail for hours. */
  #refuseInside(url: string): void {
    if (!this.#leadsInside(url)) return;
    throw new InsienError(
      "invalid_request",
      `url: ${new URL(url).hostname} is no address of the internet; whoever runs the server may allow such with INSIEN_WEBHOOK_ALLOW_PRIVATE=1`,
      { details: { field: "url" } },
    );
  }

  async remove({ ownerId }: Principal, id: string): Promise<boolean> {
    return this.#rows.remove(ownerId, id);
  }

  async test(principal: Principal, id: string): Promise<WebhookDelivery> {
    await this.#active(principal, id);
    const now = new Date();
    const event = { type: "webhook.test", at: now.toISOString(), data: { webhook_id: id } };
    const maximum = LIMITS.webhookPendingDeliveries.value;
    const delivery = { id: newId(), event, createdAt: now };
    const inserted = await this.#deliveries.insert(id, delivery, maximum);
    if (inserted !== undefined) return inserted;
    throw new InsienError(
      "limit_reached",
      `${maximum} deliveries of webhook ${id} wait already, which is as many as may`,
      { details: { limit: maximum } },
    );
  }

  async deliveries(
    principal: Principal,
    id: string,
    query: DeliveryQuery,
  ): Promise<{ items: WebhookDelivery[]; nextCursor: string | undefined }> {
    await this.get(principal, id);
    return this.#deliveries.list(id, query);
  }

  async replay(principal: Principal, id: string, deliveryId: string): Promise<WebhookDelivery> {
    await this.#active(principal, id);
    const delivery = await this.#deliveries.replay(id, deliveryId);
    if (delivery !== undefined) return delivery;
    throw new InsienError(
      "delivery_not_found",
      `Webhook ${id} has no delivery ${deliveryId}, or not any more`,
    );
  }

  async #active(principal: Principal, id: string): Promise<void> {
    const { active } = await this.get(principal, id);
    if (active) return;
    throw new InsienError(
      "conflict",
      `Webhook ${id} is switched off, so nothing is sent to it: set active to true first`,
    );
  }
}

function found(webhook: WebhookRecord | undefined, id: string): WebhookRecord {
  if (webhook !== undefined) return webhook;
  throw new InsienError("webhook_not_found", `Webhook ${id} does not exist`);
}
