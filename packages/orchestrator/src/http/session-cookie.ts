/**
 * The cookie that keeps a browser's refresh token where no script can read it. It is read by the two
 * routes that refresh and end a session, and only for this server's own pages.
 */
import { InsienError, LIMITS } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";

const PATH = "/api/v1/auth";
const NAME = "insien_session";
/** Browsers take this name from this very host over https only: no page of a sandbox can set it. */
const HOST_NAME = `__Host-${NAME}`;

export interface CookieSite {
  publicUrl: string | undefined;
}

/**
 * Throws `forbidden` unless the request comes from a page of this server. `SameSite` does not tell
 * such a page from one of a sandbox, whose host is of the same site; the origin does.
 */
export function assertOwnPage(request: FastifyRequest, site: CookieSite): void {
  const { origin } = request.headers;
  if (origin !== undefined && isOwn(origin, request, site)) return;
  throw new InsienError("forbidden", "The session's cookie is for pages of this server alone");
}

export function setSessionCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  { token, expiresAt, site }: { token: string; expiresAt: Date; site: CookieSite },
): void {
  const seconds = Math.floor((expiresAt.getTime() - Date.now()) / 1000);
  void reply.header("set-cookie", cookieText(token, seconds, isSecure(request, site)));
}

/** What a browser brings back from the provider; unlike a session's it comes along from there. */
const TICKET_NAME = "insien_ticket";
const ticketName = (secure: boolean): string => (secure ? `__Host-${TICKET_NAME}` : TICKET_NAME);

export function setTicketCookie(reply: FastifyReply, ticket: string, secure: boolean): void {
  void reply.header("set-cookie", ticketText(ticket, LIMITS.oidcSignInSeconds.value, secure));
}

export function clearTicketCookie(reply: FastifyReply, secure: boolean): void {
  void reply.header("set-cookie", ticketText("", 0, secure));
}

export const ticketCookie = (request: FastifyRequest, secure: boolean): string | undefined =>
  onlyCookie(request, ticketName(secure));

function ticketText(value: string, seconds: number, secure: boolean): string {
  const where = secure ? "; Path=/; Secure" : `; Path=${PATH}`;
  return `${ticketName(secure)}=${value}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${where}`;
}

export function clearSessionCookie(
  request: FastifyRequest,
  reply: FastifyReply,
  site: CookieSite,
): void {
  void reply.header("set-cookie", cookieText("", 0, isSecure(request, site)));
}

export const sessionCookie = (request: FastifyRequest, site: CookieSite): string | undefined =>
  onlyCookie(request, isSecure(request, site) ? HOST_NAME : NAME);

/** `undefined` where there is none, and where there are several: only one can be ours. */
function onlyCookie(request: FastifyRequest, name: string): string | undefined {
  const values = (request.headers.cookie ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}

function cookieText(value: string, seconds: number, secure: boolean): string {
  const where = secure ? "; Path=/; Secure" : `; Path=${PATH}`;
  const name = secure ? HOST_NAME : NAME;
  return `${name}=${value}; Max-Age=${seconds}; HttpOnly; SameSite=Strict${where}`;
}

function isOwn(origin: string, request: FastifyRequest, { publicUrl }: CookieSite): boolean {
  if (publicUrl !== undefined && new URL(publicUrl).origin === origin) return true;
  return URL.canParse(origin) && new URL(origin).host === request.host;
}

/**
 * Whether a request was sent to this host by a name that can mean no other. A page whose own name was
 * made to lead here (DNS rebinding) sends that name.
 */
export const isLoopback = (hostname: string): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/i.test(hostname);

/** Whether browsers reach this server over https, be it through a proxy. */
export function isSecure(request: FastifyRequest, { publicUrl }: CookieSite): boolean {
  if (request.protocol === "https") return true;
  const { origin } = request.headers;
  return publicUrl?.startsWith("https:") === true && origin !== `http://${request.host}`;
}
