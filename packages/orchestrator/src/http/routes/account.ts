import { endedAnswer, ownAccount, passwordBody, profileBody, sessionList } from "@insien/protocol";
import { z } from "zod";
import type { PersonSession } from "../../app/people.ts";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { personView } from "../person-view.ts";
import type { SignInRates } from "../sign-in-rates.ts";

const tags = ["Account"];
const idParam = z.object({ id: z.string().min(1).max(64) });

/** What people who signed in do with their own account. */
export function addAccountRoutes(app: App, door: Door, rates: SignInRates): void {
  const { people } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/auth/me",
    schema: {
      tags,
      operationId: "getOwnAccount",
      summary: "Who you are",
      response: withErrors({ 200: ownAccount }),
    },
    handler: async (request) => {
      const principal = principalOf(request);
      const person = await people.me(principal);
      return { ...personView(person), session_id: principal.sessionId ?? "" };
    },
  });

  app.route({
    method: "PATCH",
    url: "/api/v1/auth/me",
    schema: {
      tags,
      operationId: "changeOwnAccount",
      summary: "Change your name",
      body: profileBody,
      response: withErrors({ 200: ownAccount }),
    },
    handler: async (request) => {
      const principal = principalOf(request);
      const person = await people.rename(principal, request.body.name);
      return { ...personView(person), session_id: principal.sessionId ?? "" };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/auth/password",
    schema: {
      tags,
      operationId: "changePassword",
      summary: "Change your password; your other sessions end",
      body: passwordBody,
      response: withErrors({ 200: endedAnswer }),
    },
    handler: async (request) => {
      const principal = principalOf(request);
      // Whoever took a token away is not to find out the password with it.
      rates.admit(request.ip, principal.ownerId);
      const { current_password: from, new_password: to } = request.body;
      return { ended: await people.changePassword(principal, { from, to }) };
    },
  });

  app.route({
    method: "GET",
    url: "/api/v1/auth/sessions",
    schema: {
      tags,
      operationId: "listSessions",
      summary: "Where you are signed in",
      response: withErrors({ 200: sessionList }),
    },
    handler: async (request) => {
      const sessions = await people.sessions(principalOf(request));
      return { items: sessions.map(sessionView) };
    },
  });

  app.route({
    method: "DELETE",
    url: "/api/v1/auth/sessions",
    schema: {
      tags,
      operationId: "endSessions",
      summary: "Sign out everywhere, here too",
      response: withErrors({ 200: endedAnswer }),
    },
    handler: async (request) => ({ ended: await people.endSessions(principalOf(request)) }),
  });

  app.route({
    method: "DELETE",
    url: "/api/v1/auth/sessions/:id",
    schema: {
      tags,
      operationId: "endSession",
      summary: "Sign out one of your sessions; `ended` is 0 when there was none",
      params: idParam,
      response: withErrors({ 200: endedAnswer }),
    },
    handler: async (request) => {
      const wasLive = await people.endSession(principalOf(request), request.params.id);
      return { ended: wasLive ? 1 : 0 };
    },
  });
}

function sessionView(session: PersonSession) {
  const { id, current, userAgent, createdAt, lastUsedAt, expiresAt } = session;
  return {
    ...{ id, current },
    ...(userAgent === undefined ? {} : { user_agent: userAgent }),
    created_at: createdAt.toISOString(),
    last_used_at: lastUsedAt.toISOString(),
    expires_at: expiresAt.toISOString(),
  };
}
