import { Writable } from "node:stream";
import { pino } from "pino";
import { Accounts } from "../src/app/accounts.ts";
import { ApiKeys } from "../src/app/keys.ts";
import { OidcSignIn, type ProviderSettings } from "../src/app/oidc-sign-in.ts";
import { Passwords } from "../src/app/passwords.ts";
import type { SignUp } from "../src/app/people.ts";
import { PersonSessions } from "../src/app/person-sessions.ts";
import type { Database } from "../src/db/index.ts";
import type { DoorLimits } from "../src/http/door-limits.ts";
import { createHttpServer } from "../src/http/server.ts";
import { ApplicationDouble } from "./application-double.ts";

export const JWT_SECRET = "the secret of the tests' tokens";
export const ADMIN_KEY = "insien_the-servers-own-key";
export const PASSWORD = "correct horse battery";

export interface Call {
  body?: unknown;
  /** An access token. */
  token?: string;
  key?: string;
  headers?: Record<string, string>;
}

export interface Answer {
  status: number;
  headers: Headers;
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of every shape
  body: any;
}

export interface AccountsFixture extends AsyncDisposable {
  url: string;
  keys: ApiKeys;
  sessions: PersonSessions;
  logged(): string;
  send(method: string, path: string, call?: Call): Promise<Answer>;
  /** Makes an account by the administrator's key, and signs in. */
  person(name: string, options?: { admin?: boolean }): Promise<SignedIn>;
}

export interface SignedIn {
  id: string;
  email: string;
  token: string;
  refresh: string;
  sessionId: string;
}

/** Accounts and keys on a real database behind the real doors; of sandboxes, a double. */
export async function startAccounts(
  database: Database,
  options: {
    signUp?: SignUp;
    firstIsFree?: boolean;
    passwords?: Passwords;
    limits?: Partial<DoorLimits>;
    publicUrl?: string;
    trustProxy?: boolean;
    oidc?: ProviderSettings;
  } = {},
): Promise<AccountsFixture> {
  let log = "";
  const logger = pino(
    { level: "trace" },
    new Writable({
      write: (chunk, _encoding, done) => {
        log += String(chunk);
        done();
      },
    }),
  );
  const keys = new ApiKeys(database.apiKeys, { nodeId: "accounts", log: logger });
  await keys.bootstrap(ADMIN_KEY);
  const { users, sessions: rows } = database;
  const sessions = new PersonSessions({ rows, users, jwtSecret: JWT_SECRET, log: logger });
  const people = new Accounts({
    rows: users,
    sessions,
    passwords: options.passwords ?? new Passwords(),
    signUp: options.signUp ?? "open",
    firstIsFree: options.firstIsFree ?? true,
    oidc: options.oidc && new OidcSignIn(options.oidc, { jwtSecret: JWT_SECRET, log: logger }),
    onKeysChanged: () => keys.forgetAll(),
  });
  const server = await createHttpServer({
    application: Object.assign(new ApplicationDouble(), { people, keys }),
    logger,
    config: { publicUrl: options.publicUrl, trustProxy: options.trustProxy },
    limits: { signInsPerMinute: 10_000, signInsPerAccountPerMinute: 10_000, ...options.limits },
  });
  const { url } = await server.listen(0, "127.0.0.1");
  const send = (method: string, path: string, call: Call = {}) =>
    sendTo(`${url}${path}`, method, call);
  return {
    ...{ url, keys, sessions, send },
    logged: () => log,
    person: async (name, { admin = false } = {}) => {
      const email = `${name}@example.com`;
      const body = { email, name, password: PASSWORD, admin };
      const made = await send("POST", "/api/v1/users", { key: ADMIN_KEY, body });
      const { body: session } = await send("POST", "/api/v1/auth/sign-in", {
        body: { email, password: PASSWORD },
      });
      return {
        ...{ id: made.body.id, email, token: session.access_token },
        ...{ refresh: session.refresh_token, sessionId: session.session_id },
      };
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await keys[Symbol.asyncDispose]();
    },
  };
}

async function sendTo(url: string, method: string, call: Call): Promise<Answer> {
  const { body, token, key, headers = {} } = call;
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: {
      ...(key === undefined ? {} : { "x-api-key": key }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    body: isJson ? JSON.parse(text) : text,
  };
}

/** The part of a `Set-Cookie` that is sent back. */
export const cookieOf = ({ headers }: Answer): string =>
  (headers.get("set-cookie") ?? "").split(";", 1)[0] ?? "";
