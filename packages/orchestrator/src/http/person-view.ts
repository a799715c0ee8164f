import type { PersonView, SessionAnswer } from "@insien/protocol";
import type { OpenSession, Person } from "../app/people.ts";

export function personView(person: Person): PersonView {
  const { id, email, name, admin, disabled, hasPassword, createdAt, lastSeenAt } = person;
  return {
    ...{ id, email, name, admin, disabled },
    has_password: hasPassword,
    created_at: createdAt.toISOString(),
    ...(lastSeenAt === undefined ? {} : { last_seen_at: lastSeenAt.toISOString() }),
  };
}

/** Without the refresh token, which goes into the answer or into the cookie. */
export function sessionAnswer(
  session: OpenSession,
  accessTokenSeconds: number,
): Omit<SessionAnswer, "refresh_token"> {
  return {
    user: personView(session.person),
    session_id: session.sessionId,
    access_token: session.accessToken,
    token_type: "Bearer",
    expires_in: accessTokenSeconds,
  };
}
