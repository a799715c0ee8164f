/** `client.maintenance`: what the cleanup worker does by itself, on demand; for admin keys. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import {
  boolean,
  list,
  number,
  object,
  oneOf,
  optional,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const CLEANUP = "/api/v1/maintenance/cleanup";

const cleanupItem = object({
  kind: oneOf("sandbox", "machine", "network", "volume", "image", "record"),
  id: text,
  /** A sentence. */
  reason: text,
  /** What removing it frees, where that is known. */
  bytes: optional(number()),
  /** Absent in a dry run. */
  removed: optional(boolean),
  error: optional(text),
});
export type CleanupItem = ValueOf<typeof cleanupItem>;

const cleanupReport = object({ dryRun: boolean, items: list(cleanupItem) });
export type CleanupReport = ValueOf<typeof cleanupReport>;

export interface CleanupOptions extends RequestOptions {
  /** `true`: only says what it would do. */
  dryRun?: boolean | undefined;
}

export class Maintenance {
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  /** Removes what belongs to nobody any more, and says what. */
  async cleanup(options: CleanupOptions = {}): Promise<CleanupReport> {
    const { dryRun = false, signal } = options;
    const requestTimeoutMs = options.requestTimeoutMs ?? LIMITS.createMs.value;
    const call = { signal, requestTimeoutMs, answer: cleanupReport };
    return dryRun
      ? this.#api.json("GET", CLEANUP, call)
      : this.#api.json("POST", CLEANUP, { ...call, json: {} });
  }
}
