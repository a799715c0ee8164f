import type { IncomingMessage } from "node:http";
import { type CookieScope, confineCookie } from "./preview-cookies.ts";
import { HOP_HEADERS, namedByConnection } from "./hop-headers.ts";

/**
 * What would reach beyond the program's own pages: other ports and sandboxes under the same domain,
 * and in the path form the API and its users.
 */
const BEYOND = new Set([
  "alt-svc",
  "clear-site-data",
  "nel",
  "public-key-pins",
  "report-to",
  "reporting-endpoints",
  "service-worker-allowed",
  "set-login",
  "strict-transport-security",
]);

/** An origin of its own that nobody else has, although the address is one of the API's. */
const OPAQUE_ORIGIN = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads";

export interface AnswerPlace {
  cookies: CookieScope;
  /** The path form shares the API's host and port. */
  isApiOrigin: boolean;
  /** Whoever knows the path may read the answer, pages without an origin among them. */
  hasPathToken: boolean;
  /** Under which path the program is found; empty where it has a host to itself. */
  prefix: string;
  /** What the program was told it is called. */
  programHost: string;
  /** What the visitor called it. */
  outerHost: string;
  /** The path that was asked for, as the program saw it. */
  path: string;
}

/** The headers of a program's answer as its visitor gets them. */
export function answerHeaders(
  answer: IncomingMessage,
  place: AnswerPlace,
): Record<string, string | string[]> {
  const dropped = namedByConnection(answer.headers.connection);
  const headers: Record<string, string | string[]> = {};
  for (const [name, values = []] of Object.entries(answer.headersDistinct)) {
    if (HOP_HEADERS.has(name) || dropped.has(name) || BEYOND.has(name)) continue;
    if (name.startsWith("x-insien-")) continue;
    const kept = values.flatMap((value) => rewritten(name, value, place));
    if (kept.length > 0) headers[name] = kept.length === 1 ? (kept[0] ?? "") : kept;
  }
  if (place.isApiOrigin) {
    const policies = [headers["content-security-policy"] ?? [], OPAQUE_ORIGIN].flat();
    headers["content-security-policy"] = policies;
    headers["x-content-type-options"] = "nosniff";
    headers["referrer-policy"] ??= "same-origin";
    if (place.hasPathToken) headers["access-control-allow-origin"] ??= "*";
  }
  return headers;
}

function rewritten(name: string, value: string, place: AnswerPlace): string[] {
  if (name === "set-cookie") return [confineCookie(value, place.cookies) ?? []].flat();
  if (place.prefix === "") return [value];
  if (name === "location" || name === "content-location") return [underPrefix(value, place)];
  return [value];
}

/** An address of the program's, where it is found from outside; any other stays as it is. */
function underPrefix(location: string, place: AnswerPlace): string {
  const base = `http://${place.programHost}`;
  if (!URL.canParse(location, `${base}${place.path}`)) return location;
  const { host, pathname, search, hash } = new URL(location, `${base}${place.path}`);
  const isProgram = host === place.programHost || host === place.outerHost;
  const isUnder = pathname === place.prefix || pathname.startsWith(`${place.prefix}/`);
  if (!isProgram) return location;
  // A program that knows its prefix has written it itself.
  return `${isUnder ? "" : place.prefix}${pathname}${search}${hash}`;
}
