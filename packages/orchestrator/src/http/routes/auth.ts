import {
  LIMITS,
  authConfig,
  endedAnswer,
  refreshBody,
  sessionAnswer as sessionAnswerSchema,
  signInBody,
  signUpBody,
  InsienError,
} from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Device, OpenSession } from "../../app/people.ts";
import type { App, Door } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { sessionAnswer } from "../person-view.ts";
import {
  assertOwnPage,
  clearSessionCookie,
  isLoopback,
  sessionCookie,
  setSessionCookie,
} from "../session-cookie.ts";
import type { SignInRates } from "../sign-in-rates.ts";

const tags = ["Sign-in"];
/** Where a browser is led to the provider. */
export const OIDC_START = "/api/v1/auth/oidc";
const config = { auth: "open" } as const;

export const deviceOf = (request: FastifyRequest): Device => ({
  userAgent: request.headers["user-agent"],
});

/** Signing up, in and out: open to all, and slow for those who guess. */
export function addAuthRoutes(app: App, door: Door, rates: SignInRates): void {
  const { people } = door.application;
  const site = { publicUrl: door.publicUrl };

  /** The answer to whoever has a session now; its refresh token goes where they asked for it. */
  const answer = (
    request: FastifyRequest,
    reply: FastifyReply,
    { session, cookie }: { session: OpenSession; cookie: boolean | undefined },
  ) => {
    const { refreshToken: token, expiresAt } = session;
    const view = sessionAnswer(session, LIMITS.accessTokenSeconds.value);
    if (cookie !== true) return { ...view, refresh_token: token };
    setSessionCookie(request, reply, { token, expiresAt, site });
    return view;
  };

  /** The refresh token of a body, or else of the cookie, which is for our own pages alone. */
  const refreshTokenOf = (request: FastifyRequest, given: string | undefined) => {
    if (given !== undefined) return { token: given, cookie: false };
    const token = sessionCookie(request, site);
    if (token === undefined)
      throw new InsienError("session_expired", "There is no refresh token: sign in");
    assertOwnPage(request, site);
    return { token, cookie: true };
  };

  app.route({
    method: "GET",
    url: "/api/v1/auth/config",
    config,
    schema: {
      tags,
      operationId: "getAuthConfig",
      summary: "How one may sign in here",
      security: [],
      response: withErrors({ 200: authConfig }),
    },
    handler: async () => {
      const { signUp, needsFirstAccount } = await people.config();
      const { provider } = people;
      const providers = provider === undefined ? [] : [{ name: provider.name, url: OIDC_START }];
      return { sign_up: signUp, needs_first_account: needsFirstAccount, providers };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/auth/sign-up",
    config,
    schema: {
      tags,
      operationId: "signUp",
      summary: "Make an account and sign in; the first account is an administrator's",
      security: [],
      body: signUpBody,
      response: withErrors({ 201: sessionAnswerSchema }),
    },
    handler: async (request, reply) => {
      const { cookie, ...body } = request.body;
      // It takes no secret to sign up, so a page of anyone's could do so, and be the first.
      if (cookie === true || request.headers.origin !== undefined) assertOwnPage(request, site);
      rates.admit(request.ip);
      const toThisHost = isLoopback(request.hostname);
      const session = await people.signUp(body, { ...deviceOf(request), toThisHost });
      rates.signedIn(request.ip, body.email);
      return reply.code(201).send(answer(request, reply, { session, cookie }));
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/auth/sign-in",
    config,
    schema: {
      tags,
      operationId: "signIn",
      summary: "Sign in with email and password",
      security: [],
      body: signInBody,
      response: withErrors({ 200: sessionAnswerSchema }),
    },
    handler: async (request, reply) => {
      const { cookie, ...body } = request.body;
      if (cookie === true) assertOwnPage(request, site);
      rates.admit(request.ip, body.email);
      const session = await people.signIn(body, deviceOf(request));
      rates.signedIn(request.ip, body.email);
      return answer(request, reply, { session, cookie });
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/auth/refresh",
    config,
    schema: {
      tags,
      operationId: "refreshSession",
      summary: "Take new tokens for a refresh token, which is worth nothing afterwards",
      security: [],
      body: refreshBody,
      response: withErrors({ 200: sessionAnswerSchema }),
    },
    handler: async (request, reply) => {
      const { token, cookie } = refreshTokenOf(request, request.body?.refresh_token);
      const session = await rates.withToken(request.ip, () => people.refresh(token));
      return answer(request, reply, { session, cookie });
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/auth/sign-out",
    config,
    schema: {
      tags,
      operationId: "signOut",
      summary: "End the session of a refresh token",
      security: [],
      body: refreshBody,
      response: withErrors({ 200: endedAnswer }),
    },
    handler: async (request, reply) => {
      const { token, cookie } = refreshTokenOf(request, request.body?.refresh_token);
      const wasLive = await rates.withToken(request.ip, () => people.signOut(token));
      if (cookie) clearSessionCookie(request, reply, site);
      return { ended: wasLive ? 1 : 0 };
    },
  });
}
