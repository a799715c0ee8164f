/** `client.quota`: what an owner may have at once, and how fast. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import {
  integer,
  nullable,
  number,
  object,
  optional,
  requestOf,
  size,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const bound = nullable(number());
const quotaInfo = object({
  ownerId: text,
  /** `null`: no bound. */
  limits: object({
    sandboxes: bound,
    cpu: bound,
    memoryBytes: bound,
    diskBytes: bound,
    createsPerMinute: bound,
  }),
  used: object({
    sandboxes: number(),
    cpu: number(),
    memoryBytes: number(),
    diskBytes: number(),
  }),
});
export type QuotaInfo = ValueOf<typeof quotaInfo>;

/** `null`: no bound; left out: the server's default. */
export interface QuotaSettings {
  /** Sandboxes that are not destroyed or failed. */
  sandboxes?: number | null | undefined;
  /** Cores of those that are not stopped, together. */
  cpu?: number | null | undefined;
  /** Of these together, such as "16g". */
  memory?: string | null | undefined;
  /** Files of sandboxes and volumes, such as "100g". */
  disk?: string | null | undefined;
  createsPerMinute?: number | null | undefined;
}

const count = optional(nullable(integer(0, Number.MAX_SAFE_INTEGER)));
const quotaRequest = object<QuotaSettings>({
  sandboxes: count,
  cpu: optional(nullable(number(0, Number.MAX_SAFE_INTEGER))),
  memory: optional(nullable(size("0", "16t"))),
  disk: optional(nullable(size("0", "1024t"))),
  createsPerMinute: count,
});
const ownerPath = (ownerId: string): string => `/api/v1/quotas/${encodeURIComponent(ownerId)}`;

export class Quota {
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  /** Your own, and what you use of it. */
  async get(options: RequestOptions = {}): Promise<QuotaInfo> {
    return this.#api.json("GET", "/api/v1/quota", { ...options, answer: quotaInfo });
  }

  /** Another owner's; for admin keys. */
  async of(ownerId: string, options: RequestOptions = {}): Promise<QuotaInfo> {
    return this.#api.json("GET", ownerPath(ownerId), { ...options, answer: quotaInfo });
  }

  /** For admin keys. */
  async set(
    ownerId: string,
    settings: QuotaSettings,
    options: RequestOptions = {},
  ): Promise<QuotaInfo> {
    const json = requestOf(quotaRequest, settings);
    return this.#api.json("PUT", ownerPath(ownerId), { ...options, json, answer: quotaInfo });
  }

  /** Back to the server's defaults; for admin keys. `false` when it had no bounds of its own. */
  reset(ownerId: string, options: RequestOptions = {}): Promise<boolean> {
    return this.#api.remove(ownerPath(ownerId), undefined, options);
  }
}
