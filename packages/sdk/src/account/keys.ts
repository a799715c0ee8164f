/** `client.keys`: API keys. Each belongs to an owner, and owners' sandboxes are apart. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import {
  boolean,
  date,
  list,
  matching,
  object,
  optional,
  requestOf,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const KEYS = "/api/v1/keys";

const keyFields = {
  id: text,
  name: text,
  ownerId: text,
  /** The first characters, to tell keys apart. */
  prefix: text,
  admin: boolean,
  createdAt: date,
  lastUsedAt: optional(date),
};
const apiKey = object(keyFields);
export type ApiKey = ValueOf<typeof apiKey>;

/** `key` is the text itself, which is in this answer and nowhere else. */
const createdKey = object({ ...keyFields, key: text });
export type CreatedKey = ValueOf<typeof createdKey>;

export interface KeySettings {
  name: string;
  /** Keys of one owner share sandboxes; a new owner by default. */
  ownerId?: string | undefined;
  admin?: boolean | undefined;
}
const keyRequest = object<KeySettings>({
  name: matching(/^.{1,128}$/s, "a text of 1 to 128 characters"),
  ownerId: optional(matching(/^[a-z0-9]{4,40}$/, "4 to 40 lower-case letters and digits")),
  admin: optional(boolean),
});
const keyPage = object({ items: list(apiKey) });

export class Keys {
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  async create(settings: KeySettings, options: RequestOptions = {}): Promise<CreatedKey> {
    const json = requestOf(keyRequest, settings);
    return this.#api.json("POST", KEYS, { ...options, json, answer: createdKey });
  }

  async list(options: RequestOptions = {}): Promise<ApiKey[]> {
    return (await this.#api.json("GET", KEYS, { ...options, answer: keyPage })).items;
  }

  /** `false` when there was none. */
  revoke(id: string, options: RequestOptions = {}): Promise<boolean> {
    return this.#api.remove(`${KEYS}/${encodeURIComponent(id)}`, undefined, options);
  }
}
