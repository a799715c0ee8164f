import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { PORT_TOKEN_HEADER, PORT_TOKEN_PARAMETER, WEBSOCKET_KEY_PREFIX } from "@insien/protocol";
import { HOP_HEADERS, namedByConnection } from "./hop-headers.ts";

/** What is the door's and none of the program's business. */
const OURS = new Set(["x-api-key", PORT_TOKEN_HEADER, "host", "cookie", "content-length"]);
/** What only a proxy that is trusted may say of the client. */
const OF_PROXIES = /^(?:x-forwarded-.*|x-real-ip|forwarded|via)$/;

export interface ProgramRequest {
  /** What the program is told it is called. */
  host: string;
  cookies: string | undefined;
  /** Names of further headers that the program does not get. */
  dropped: ReadonlySet<string>;
  forwarded: { for: string; host: string; proto: "http" | "https"; prefix: string };
}

/** The headers of a request as the program in the sandbox gets them. */
export function requestHeaders(
  request: IncomingMessage,
  { host, cookies, dropped: refused, forwarded }: ProgramRequest,
): Record<string, string | string[]> {
  const given = new Map(Object.entries(request.headersDistinct));
  const dropped = namedByConnection(request.headers.connection);
  const headers: Record<string, string | string[]> = { host };
  for (const [name, values = []] of given) {
    if (HOP_HEADERS.has(name) || dropped.has(name) || OURS.has(name)) continue;
    if (refused.has(name)) continue;
    if (OF_PROXIES.test(name) || name.startsWith("x-insien-")) continue;
    const kept = values.filter(
      (value) => name !== "referer" || !value.includes(PORT_TOKEN_PARAMETER),
    );
    if (kept.length > 0) headers[name] = kept.length === 1 ? (kept[0] ?? "") : kept;
  }
  const protocols = withoutKeys(request.headers["sec-websocket-protocol"]);
  if (protocols === "") delete headers["sec-websocket-protocol"];
  else if (protocols !== undefined) headers["sec-websocket-protocol"] = protocols;
  if (cookies !== undefined) headers["cookie"] = cookies;
  Object.assign(headers, bodyHeaders(request.headers), {
    "x-forwarded-for": forwarded.for,
    "x-forwarded-host": forwarded.host,
    "x-forwarded-proto": forwarded.proto,
    ...(forwarded.prefix === "" ? {} : { "x-forwarded-prefix": forwarded.prefix }),
  });
  return headers;
}

/** How the body is framed is said anew, from what the parser understood. */
export function bodyHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  if (headers["transfer-encoding"] !== undefined) return { "transfer-encoding": "chunked" };
  const length = headers["content-length"];
  return length === undefined ? {} : { "content-length": length };
}

export const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";

function withoutKeys(protocols: string | undefined): string | undefined {
  const offered = protocols?.split(",").map((each) => each.trim());
  return offered?.filter((each) => !each.startsWith(WEBSOCKET_KEY_PREFIX)).join(", ");
}
