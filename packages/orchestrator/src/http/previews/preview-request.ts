import type { IncomingMessage } from "node:http";
import { InsienError, PORT_TOKEN_HEADER, PORT_TOKEN_PARAMETER } from "@insien/protocol";
import type { ExternalPort } from "../../app/sandbox-ports.ts";
import type { PortAddress } from "../../app/ports.ts";
import {
  type CookieScope,
  HOST_SCOPE,
  externalScope,
  pathScope,
  readCookies,
} from "./preview-cookies.ts";
import { type PreviewNames, hostnameOf, parsePreviewPath, portAddress } from "./preview-names.ts";

/** What is asked of which port, and what was shown for it. */
export interface PreviewRequest {
  form: "host" | "path" | "external";
  /** `undefined`: it leads nowhere, which nobody is told apart from a port that is not theirs. */
  address: PortAddress | undefined;
  /** Path and query as the program gets them. */
  target: string;
  /** Under which path the program is found; empty where it has a host and port to itself. */
  prefix: string;
  /** The same for the visitor, with the token that stands in the path. */
  outerPrefix: string;
  /** Stands in the path, and so in every address that a page under it makes. */
  pathToken: string | undefined;
  /** As the visitor wrote it. */
  host: string;
  cookies: CookieScope;
  /** The program's own cookies. */
  programCookies: string | undefined;
  tokens: string[];
  /** Stands in the query; a browser is sent to an address without it. */
  addressToken: string | undefined;
}

/** Throws `invalid_request` for what could be understood in two ways. */
export function readPreviewRequest(
  request: IncomingMessage,
  names: PreviewNames,
  external?: ExternalPort,
): PreviewRequest {
  const { url = "", headers } = request;
  const { host = "" } = headers;
  if ((request.headersDistinct.host?.length ?? 0) !== 1 || hostnameOf(host) === undefined) {
    throw new InsienError("invalid_request", "Host: must be there once, and name a host");
  }
  if (!url.startsWith("/")) {
    throw new InsienError("invalid_request", "The request's address must begin with a slash");
  }
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && coding.toLowerCase() !== "chunked") {
    throw new InsienError("invalid_request", "Transfer-Encoding: may be chunked and nothing else");
  }
  const place = placeOf(url, host, names, external);
  const { target, token } = takeToken(place.target);
  const cookies = readCookies(headers.cookie, place.cookies);
  const given = [place.pathToken, headers[PORT_TOKEN_HEADER], token].flat();
  const shown = given.filter((each) => each !== undefined);
  return {
    ...place,
    host,
    target,
    addressToken: token,
    tokens: [...shown, ...(isOwnPage(request, host) ? cookies.tokens : [])],
    programCookies: cookies.program,
  };
}

type Place = Pick<
  PreviewRequest,
  "form" | "address" | "target" | "prefix" | "outerPrefix" | "pathToken" | "cookies"
>;
const NO_PREFIX = { prefix: "", outerPrefix: "", pathToken: undefined };
const TOKEN_IN_PATH = /^\/~(p1\.[^/?]*)(.*)$/s;

function placeOf(
  url: string,
  host: string,
  names: PreviewNames,
  external: ExternalPort | undefined,
): Place {
  if (external !== undefined) {
    const address = { sandboxId: external.sandboxId, port: external.internal };
    const cookies = externalScope(external.external);
    return { form: "external", address, target: url, ...NO_PREFIX, cookies };
  }
  if (names.isPreview(host)) {
    const address = names.addressOf(host);
    return { form: "host", address, target: url, ...NO_PREFIX, cookies: HOST_SCOPE };
  }
  const path = parsePreviewPath(url);
  const address = path && portAddress(path.id, path.port);
  if (path === undefined || address === undefined) {
    return { form: "path", address: undefined, target: "/", ...NO_PREFIX, cookies: HOST_SCOPE };
  }
  const { prefix } = path;
  const cookies = pathScope(prefix, path.id, path.port);
  const [, pathToken, target = path.rest] = TOKEN_IN_PATH.exec(path.rest) ?? [];
  const outerPrefix = pathToken === undefined ? prefix : prefixWith(prefix, pathToken);
  return { form: "path", address, target, prefix, outerPrefix, pathToken, cookies };
}

/** Where a link leads that has no host name, so that no cookie can stand for it. */
export const prefixWith = (prefix: string, token: string): string => `${prefix}/~${token}`;

/** Takes our parameter out of a query and leaves the rest as it was written. */
function takeToken(target: string): { target: string; token: string | undefined } {
  const start = target.indexOf("?");
  if (start < 0) return { target, token: undefined };
  let token: string | undefined;
  const kept = target
    .slice(start + 1)
    .split("&")
    .filter((part) => {
      const [name = "", value = ""] = part.split("=", 2).map(decoded);
      if (name !== PORT_TOKEN_PARAMETER) return true;
      token = value;
      return false;
    });
  const path = target.slice(0, start);
  if (token === undefined) return { target, token };
  return { target: kept.length === 0 ? path : `${path}?${kept.join("&")}`, token };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Whether a browser's cookie may speak for this request. Pages of other sandboxes are of the same
 * site, so SameSite alone would let them act in a visitor's name: what they send says so in `Origin`
 * or `Sec-Fetch-Site`, and only a plain visit may come from elsewhere.
 */
function isOwnPage({ method, headers }: IncomingMessage, host: string): boolean {
  const { origin } = headers;
  if (origin !== undefined)
    return URL.canParse(origin) && new URL(origin).host === host.toLowerCase();
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return true;
  return headers["sec-fetch-mode"] === "navigate" && (method === "GET" || method === "HEAD");
}
