import { InsienError } from "@insien/protocol";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import {
  clearTicketCookie,
  isLoopback,
  isSecure,
  setSessionCookie,
  setTicketCookie,
  ticketCookie,
} from "../session-cookie.ts";
import type { SignInRates } from "../sign-in-rates.ts";
import { OIDC_START, deviceOf } from "./auth.ts";

const tags = ["Sign-in"];
const config = { auth: "open" } as const;
const CALLBACK = `${OIDC_START}/callback`;

/** Of this server: never `//host`, which browsers take for another one's. */
const localPath = z
  .string()
  .max(500)
  .regex(/^\/(?![/\\])[^\\\p{Cc}]*$/u, "must be a path of this server");
const startQuery = z.strictObject({ return_to: localPath.optional() });

/** The browser's way to the provider and back. */
export function addOidcRoutes(app: App, door: Door, rates: SignInRates): void {
  const site = { publicUrl: door.publicUrl };

  const providerOf = () => {
    const { provider } = door.application.people;
    if (provider !== undefined) return provider;
    throw new InsienError("route_not_found", "This server has no provider to sign in with");
  };

  const redirectUriOf = (request: FastifyRequest): string => {
    const base = door.publicUrl ?? `${request.protocol}://${request.host}`;
    return `${base.replace(/\/+$/, "")}${CALLBACK}`;
  };

  app.route({
    method: "GET",
    url: OIDC_START,
    config,
    schema: {
      tags,
      operationId: "startProviderSignIn",
      summary: "Send the browser to the provider; it comes back to `return_to`",
      security: [],
      querystring: startQuery,
      response: withErrors({ 302: z.null() }),
    },
    handler: async (request, reply) => {
      const provider = providerOf();
      rates.admit(request.ip);
      const returnTo = request.query.return_to ?? "/";
      const { url, ticket } = await provider.start({
        redirectUri: redirectUriOf(request),
        returnTo,
      });
      setTicketCookie(reply, ticket, isSecure(request, site));
      return reply.redirect(url, 302);
    },
  });

  app.route({
    method: "GET",
    url: CALLBACK,
    config,
    schema: {
      tags,
      operationId: "finishProviderSignIn",
      summary: "Where the provider sends the browser back to; it then has a session's cookie",
      security: [],
      response: withErrors({ 303: z.null() }),
    },
    handler: async (request, reply) => {
      const provider = providerOf();
      rates.admit(request.ip);
      const secure = isSecure(request, site);
      const ticket = ticketCookie(request, secure);
      clearTicketCookie(reply, secure);
      const start = request.url.indexOf("?");
      const search = start === -1 ? "" : request.url.slice(start);
      const device = { ...deviceOf(request), toThisHost: isLoopback(request.hostname) };
      const { session, returnTo } = await provider.finish({ search, ticket }, device);
      const { refreshToken: token, expiresAt } = session;
      setSessionCookie(request, reply, { token, expiresAt, site });
      return reply.redirect(returnTo, 303);
    },
  });
}
