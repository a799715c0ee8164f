import type { IncomingHttpHeaders } from "node:http";

const NEVER_RENDERED = "default-src 'none'; frame-ancestors 'none'";

/**
 * On every answer. Nothing that this server sends is a page, save the docs, which set a policy of
 * their own; a file that a sandbox wrote is never to run as a script of this origin.
 */
const SECURITY_HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "content-security-policy": NEVER_RENDERED,
  "cache-control": "no-store",
} as const;

const EXPOSED = "x-request-id, retry-after, content-range, accept-ranges, content-length, etag";
const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": "authorization, content-type, range, x-api-key, x-request-id",
  "access-control-max-age": "600",
} as const;

/**
 * Pages of any origin may call the API, because the key they must send is theirs: the one cookie is for
 * this server's pages, and credentials are never allowed, so a page can do nothing in a visitor's name. A list
 * of `origins` narrows that to the pages named.
 */
export class ResponseHeaders {
  readonly #origins: ReadonlySet<string> | undefined;

  constructor(origins: readonly string[] | undefined) {
    this.#origins = origins === undefined ? undefined : new Set(origins);
  }

  forAnswer(request: IncomingHttpHeaders, requestId: string): Record<string, string> {
    return { ...SECURITY_HEADERS, "x-request-id": requestId, ...this.#crossOrigin(request) };
  }

  forPreflight(): Record<string, string> {
    return PREFLIGHT_HEADERS;
  }

  #crossOrigin(request: IncomingHttpHeaders): Record<string, string> {
    const { origin } = request;
    if (origin === undefined) return {};
    const exposed = { "access-control-expose-headers": EXPOSED };
    if (this.#origins === undefined) return { "access-control-allow-origin": "*", ...exposed };
    if (!this.#origins.has(origin)) return { vary: "origin" };
    return { "access-control-allow-origin": origin, vary: "origin", ...exposed };
  }
}
