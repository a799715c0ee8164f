/**
 * Sessions of people. An access token is believed only while its session lives, which is asked of the
 * database and remembered for as long as keys are.
 */
import { InsienError, LIMITS, newId } from "@insien/protocol";
import type { Logger } from "pino";
import type { SessionRecord, SessionRows, UserRecord, UserRows } from "../db/index.ts";
import type { Device, OpenSession, Person, PersonSession } from "./people.ts";
import type { Principal } from "./principal.ts";
import { refreshHashOf, sessionOfRefresh, SessionTokens } from "./session-tokens.ts";

const USER_AGENT_CHARACTERS = 200;

interface Known {
  /** `undefined`: the session had ended, as of then. */
  principal: Principal | undefined;
  freshUntil: number;
}

interface Live {
  session: SessionRecord;
  user: UserRecord;
}

export class PersonSessions {
  readonly #rows: SessionRows;
  readonly #users: UserRows;
  readonly #tokens: SessionTokens;
  readonly #log: Logger;
  /** By session, the one looked up longest ago first. */
  readonly #known = new Map<string, Known>();
  /** Grows with each end of a session, so that an answer from before it is not remembered. */
  #changes = 0;

  constructor(parts: { rows: SessionRows; users: UserRows; jwtSecret: string; log: Logger }) {
    this.#rows = parts.rows;
    this.#users = parts.users;
    this.#tokens = new SessionTokens(parts.jwtSecret);
    this.#log = parts.log;
  }

  async open(user: UserRecord, { userAgent }: Device): Promise<OpenSession> {
    const now = new Date();
    const id = newId();
    const refreshToken = this.#tokens.firstRefresh(id);
    const session = {
      id,
      userId: user.id,
      refreshHash: refreshHashOf(refreshToken),
      userAgent: userAgent?.slice(0, USER_AGENT_CHARACTERS),
      createdAt: now,
      lastUsedAt: now,
      expiresAt: new Date(now.getTime() + LIMITS.sessionSeconds.value * 1000),
    };
    await this.#rows.open(session, { most: LIMITS.sessionsPerPerson.value });
    return this.#opened({ session, user }, refreshToken);
  }

  async refresh(token: string): Promise<OpenSession> {
    const id = sessionOfRefresh(token);
    if (id === undefined) throw ended();
    const hash = refreshHashOf(token);
    const next = this.#tokens.nextRefresh(id, token);
    const live = await this.#live(id);
    if (live.session.refreshHash === hash) {
      const hashes = { from: hash, to: refreshHashOf(next) };
      if (await this.#rows.rotate(id, hashes, new Date())) return this.#opened(live, next);
      // Another request with the same token was quicker.
      return this.#refreshAgain(await this.#live(id), hash, next);
    }
    return this.#refreshAgain(live, hash, next);
  }

  /** Ends the session of a refresh token. */
  async signOut(token: string): Promise<boolean> {
    const id = sessionOfRefresh(token);
    return id !== undefined && this.end(id);
  }

  /** See `People.authenticate`. */
  async authenticate(token: string): Promise<Principal | undefined> {
    const claims = await this.#tokens.read(token);
    if (claims === undefined) return undefined;
    if (claims === "expired") throw expired();
    const known = this.#recall(claims.sessionId) ?? (await this.#look(claims.sessionId));
    if (known.principal?.ownerId !== claims.userId) throw ended();
    return known.principal;
  }

  async list(userId: string, currentId: string): Promise<PersonSession[]> {
    const sessions = await this.#rows.list(userId, new Date());
    return sessions.map(({ id, userAgent, createdAt, lastUsedAt, expiresAt }) => ({
      ...{ id, userAgent, createdAt, lastUsedAt, expiresAt },
      current: id === currentId,
    }));
  }

  async end(id: string, options: { userId?: string } = {}): Promise<boolean> {
    const wasLive = await this.#rows.end(id, new Date(), options);
    this.#forget([id]);
    return wasLive;
  }

  async endAll(userId: string, options: { except?: string | undefined } = {}): Promise<number> {
    const ids = await this.#rows.endAll(userId, new Date(), options);
    this.#forget(ids);
    return ids.length;
  }

  /** A token that was used just now is answered once more; one used before that was stolen. */
  async #refreshAgain(live: Live, hash: string, next: string): Promise<OpenSession> {
    const { session, user } = live;
    const isJustUsed = Date.now() - session.lastUsedAt.getTime() < LIMITS.refreshAgainMs.value;
    if (session.previousHash === hash && isJustUsed) return this.#opened(live, next);
    await this.end(session.id);
    const who = { sessionId: session.id, userId: user.id };
    this.#log.warn(who, "a refresh token was used twice: its session is ended");
    throw ended();
  }

  async #live(id: string): Promise<Live> {
    const live = await this.#rows.live(id, new Date());
    if (live === undefined || live.user.disabled) throw ended();
    return live;
  }

  async #opened(
    { session, user }: { session: Pick<SessionRecord, "id" | "expiresAt">; user: UserRecord },
    refreshToken: string,
  ): Promise<OpenSession> {
    const lastSeenAt = new Date();
    await this.#users.change(user.id, { lastSeenAt });
    return {
      person: personOf({ ...user, lastSeenAt }),
      sessionId: session.id,
      accessToken: await this.#tokens.access({ userId: user.id, sessionId: session.id }),
      refreshToken,
      expiresAt: session.expiresAt,
    };
  }

  #recall(id: string): Known | undefined {
    const known = this.#known.get(id);
    return known !== undefined && known.freshUntil > performance.now() ? known : undefined;
  }

  async #look(id: string): Promise<Known> {
    const changes = this.#changes;
    const live = await this.#rows.live(id, new Date());
    const isIn = live !== undefined && !live.user.disabled;
    const principal = isIn
      ? { keyId: id, ownerId: live.user.id, admin: live.user.admin, sessionId: id }
      : undefined;
    const known = { principal, freshUntil: performance.now() + LIMITS.keyCacheMs.value };
    if (changes === this.#changes) this.#remember(id, known);
    return known;
  }

  #remember(id: string, known: Known): void {
    this.#known.delete(id);
    this.#known.set(id, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > LIMITS.keyCacheEntries.value && oldest !== undefined)
      this.#known.delete(oldest);
  }

  #forget(ids: readonly string[]): void {
    this.#changes += 1;
    for (const id of ids) this.#known.delete(id);
  }
}

export function personOf(user: UserRecord): Person {
  const { id, email, name, admin, disabled, createdAt, lastSeenAt, passwordHash } = user;
  const hasPassword = passwordHash !== undefined;
  return { id, email, name, admin, disabled, hasPassword, createdAt, lastSeenAt };
}

const ended = (): InsienError =>
  new InsienError("session_expired", "This session has ended: sign in again");
const expired = (): InsienError =>
  new InsienError("session_expired", "This access token is too old: refresh the session");
