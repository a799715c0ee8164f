/** What the doors may ask about accounts and sessions. */
import type { Principal } from "./principal.ts";

export interface Person {
  id: string;
  email: string;
  name: string;
  admin: boolean;
  disabled: boolean;
  hasPassword: boolean;
  createdAt: Date;
  lastSeenAt: Date | undefined;
}

export interface PersonSession {
  id: string;
  current: boolean;
  userAgent: string | undefined;
  createdAt: Date;
  lastUsedAt: Date;
  expiresAt: Date;
}

/** What someone has who signed in, or refreshed what they had. */
export interface OpenSession {
  person: Person;
  sessionId: string;
  accessToken: string;
  refreshToken: string;
  /** Of the refresh token. */
  expiresAt: Date;
}

/** What a browser or program calls itself. */
export interface Device {
  userAgent: string | undefined;
}

/** `first`: until there is an account. */
export type SignUp = "open" | "closed" | "first";

export interface SignInConfig {
  signUp: "open" | "closed";
  needsFirstAccount: boolean;
}

/** An OpenID Connect provider that people may sign in with. */
export interface Provider {
  readonly name: string;
  /** Where to send the browser, and a ticket that it must bring back. */
  start(target: {
    redirectUri: string;
    returnTo: string;
  }): Promise<{ url: string; ticket: string }>;
  /** Throws `sign_in_failed`, `sign_up_closed`, `account_exists` or `account_disabled`. */
  finish(
    answer: { search: string; ticket: string | undefined },
    device: Device & { toThisHost: boolean },
  ): Promise<{ session: OpenSession; returnTo: string }>;
}

/**
 * All throw `InsienError`. What takes a principal is for people who signed in: a key, whoever's it
 * is, gets `forbidden`, save where administrators are meant.
 */
export interface People {
  /** `undefined`: none is configured. */
  readonly provider: Provider | undefined;
  /** `undefined` for what is no token of a person; throws `session_expired` for one that ended. */
  authenticate(token: string): Promise<Principal | undefined>;
  config(): Promise<SignInConfig>;
  /** Throws `sign_up_closed` or `account_exists`. `toThisHost`: asked for by a name of loopback's. */
  signUp(
    body: NewPerson & { password: string },
    device: Device & { toThisHost: boolean },
  ): Promise<OpenSession>;
  /** Throws `sign_in_failed`, of which an unknown email is no other than a wrong password. */
  signIn(body: { email: string; password: string }, device: Device): Promise<OpenSession>;
  /** The token is worth nothing afterwards; one that was used before ends its session. */
  refresh(refreshToken: string): Promise<OpenSession>;
  /** By any token of the session; `false` when it had ended. */
  signOut(refreshToken: string): Promise<boolean>;
  me(principal: Principal): Promise<Person>;
  rename(principal: Principal, name: string): Promise<Person>;
  /** Ends the person's other sessions, and says how many. */
  changePassword(principal: Principal, change: { from: string; to: string }): Promise<number>;
  sessions(principal: Principal): Promise<PersonSession[]>;
  /** `false` when there was none, or it is another's. */
  endSession(principal: Principal, id: string): Promise<boolean>;
  /** All, this one too; says how many. */
  endSessions(principal: Principal): Promise<number>;
  /** For administrators, keys included. */
  create(
    principal: Principal,
    body: NewPerson & { password?: string; admin?: boolean },
  ): Promise<Person>;
  list(
    principal: Principal,
    query: { limit?: number; cursor?: string },
  ): Promise<{ items: Person[]; nextCursor: string | undefined }>;
  /** A disabled account's sessions end, and its keys are refused until it is enabled. */
  setDisabled(principal: Principal, id: string, disabled: boolean): Promise<Person>;
}

export interface NewPerson {
  email: string;
  name: string;
}
