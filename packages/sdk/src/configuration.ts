/**
 * Where the settings of a connection come from: the option, else the environment, else a default.
 */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { platform } from "#platform";
import { sandboxError } from "./errors.ts";

const DEFAULT_API_URL = "http://localhost:3000";

export interface ConnectionOptions {
  /** By default the environment's `INSIEN_API_KEY`. */
  apiKey?: string | undefined;
  /** By default the environment's `INSIEN_API_URL`, else `http://localhost:3000`. */
  apiUrl?: string | undefined;
  /**
   * How long one request may take, unless its call says otherwise. 30 s by default; 0: no limit.
   */
  requestTimeoutMs?: number | undefined;
  /** How long a stream whose connection was lost tries to resume. 60 s by default. */
  reconnectTimeoutMs?: number | undefined;
}

/** What every call takes beside its own options. */
export interface RequestOptions {
  /** Ends the call with the signal's reason (an `AbortError` by default). */
  signal?: AbortSignal | undefined;
  /** How long the request may take; not how long a command may run. 0: no limit. */
  requestTimeoutMs?: number | undefined;
}

export interface Configuration {
  readonly apiKey: string;
  /** Without a slash at its end. */
  readonly apiUrl: string;
  readonly requestTimeoutMs: number;
  readonly reconnectTimeoutMs: number;
}

/** Throws `unauthorized` without a key and `invalid_request` for an address that is none. */
export function resolveConfiguration(options: ConnectionOptions): Configuration {
  const apiKey = options.apiKey || platform.environment("INSIEN_API_KEY");
  if (!apiKey) {
    throw sandboxError("unauthorized", "no API key: pass apiKey or set INSIEN_API_KEY");
  }
  const apiUrl = options.apiUrl || platform.environment("INSIEN_API_URL") || DEFAULT_API_URL;
  if (!/^https?:\/\/./.test(apiUrl) || !URL.canParse(apiUrl)) {
    throw sandboxError(
      "invalid_request",
      `apiUrl is "${apiUrl}"; it must be an http:// or https:// address`,
      { details: { field: "apiUrl" } },
    );
  }
  return {
    apiKey,
    apiUrl: apiUrl.replace(/\/+$/, ""),
    requestTimeoutMs: options.requestTimeoutMs ?? LIMITS.sdkRequestMs.value,
    reconnectTimeoutMs: options.reconnectTimeoutMs ?? LIMITS.sdkReconnectMs.value,
  };
}
