/** What thieves, guessers and other people's pages try on accounts and sessions. */
import { InsienError, LIMITS } from "@insien/protocol";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Passwords } from "../src/app/passwords.ts";
import { derivedKey } from "../src/app/session-tokens.ts";
import type { Database } from "../src/db/index.ts";
import {
  type AccountsFixture,
  ADMIN_KEY,
  cookieOf,
  JWT_SECRET,
  PASSWORD,
  startAccounts,
} from "./accounts.fixture.ts";
import { DATABASES, openAnyForTests, openForTests } from "./database.fixture.ts";

/** One for all that is not about databases: everybody in it has a name of their own. */
let opened: Promise<Database> | undefined;
const anyDatabase = (): Promise<Database> => (opened ??= openAnyForTests());

describe.for(DATABASES.filter(({ present }) => present))(
  "refresh tokens in the $kind database",
  ({ prepare }) => {
    let database: Database;
    let server: AccountsFixture;
    beforeAll(async () => {
      database = await openForTests(await prepare());
      server = await startAccounts(database);
      await server.person("administrator", { admin: true });
    });
    afterAll(() => server[Symbol.asyncDispose]());

    const refresh = (token: string) =>
      server.send("POST", "/api/v1/auth/refresh", { body: { refresh_token: token } });

    test("each is of use once, and two at once are given the same", async () => {
      const { refresh: first, sessionId } = await server.person("refreshing");
      const answers = await Promise.all([first, first, first].map(refresh));
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      const next = new Set(answers.map(({ body }) => body.refresh_token));
      expect(next.size).toBe(1);
      expect(next).not.toContain(first);
      expect(answers[0]?.body.session_id).toBe(sessionId);
      const token = answers[0]?.body.access_token;
      expect((await server.send("GET", "/api/v1/auth/me", { token })).status).toBe(200);
    });

    test("one that was used before the last ends the session for thief and owner alike", async () => {
      const { refresh: stolen } = await server.person("robbed");
      const second = (await refresh(stolen)).body.refresh_token;
      const third = (await refresh(second)).body;
      const thief = await refresh(stolen);
      expect(thief.body.error.code).toBe("session_expired");
      expect((await refresh(third.refresh_token)).status).toBe(401);
      const owner = await server.send("GET", "/api/v1/auth/me", { token: third.access_token });
      expect(owner.body.error.code).toBe("session_expired");
      expect(server.logged()).toContain("a refresh token was used twice");
    });

    test("the last used one is answered again only for a moment", async () => {
      const { refresh: stolen, sessionId } = await server.person("slow");
      const next = (await refresh(stolen)).body.refresh_token;
      const record = (await database.sessions.live(sessionId, new Date()))?.session;
      if (record === undefined) throw new Error("there is no such session");
      // As if that had been longer ago: the present token is put in its own place.
      const { refreshHash, previousHash = "" } = record;
      const longAgo = new Date(Date.now() - LIMITS.refreshAgainMs.value - 1);
      await database.sessions.rotate(sessionId, { from: refreshHash, to: previousHash }, longAgo);
      await database.sessions.rotate(sessionId, { from: previousHash, to: refreshHash }, longAgo);
      expect((await refresh(stolen)).status).toBe(401);
      expect((await refresh(next)).status).toBe(401);
    });

    test("nobody's, broken and overlong ones are refused", async () => {
      const { sessionId } = await server.person("guessed");
      for (const token of ["x", `${sessionId}.x`, `none1none1.${"a".repeat(43)}`]) {
        expect((await refresh(token)).body.error.code, token).toBe("session_expired");
      }
      expect((await refresh("x".repeat(300))).status).toBe(400);
      expect((await server.send("POST", "/api/v1/auth/refresh")).status).toBe(401);
    });

    test("no token and no password is in the database or in the log", async () => {
      const person = await server.person("secretive");
      await refresh(person.refresh);
      await server.send("POST", "/api/v1/auth/sign-in", {
        body: { email: person.email, password: "wrong and secret" },
      });
      const rows = JSON.stringify([
        await database.users.get(person.id),
        await database.sessions.list(person.id, new Date()),
      ]);
      const secrets = [person.token, person.refresh.split(".")[1] ?? "", PASSWORD];
      for (const secret of [...secrets, "wrong and secret"]) {
        expect(rows).not.toContain(secret);
        expect(server.logged()).not.toContain(secret);
      }
    });
  },
);

describe("access tokens", () => {
  let server: AccountsFixture;
  beforeAll(async () => {
    server = await startAccounts(await anyDatabase());
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const key = derivedKey(JWT_SECRET, "access tokens of people");
  const nowSeconds = () => Math.floor(Date.now() / 1000);
  const forged = (
    { userId, sessionId }: { userId: string; sessionId: string },
    change: { key?: Uint8Array; audience?: string; expires?: number; alg?: string } = {},
  ) =>
    new SignJWT({ sid: sessionId })
      .setProtectedHeader({ alg: change.alg ?? "HS256" })
      .setSubject(userId)
      .setAudience(change.audience ?? "person")
      .setIssuedAt()
      .setExpirationTime(change.expires ?? nowSeconds() + 60)
      .sign(change.key ?? key);
  const status = async (token: string) =>
    (await server.send("GET", "/api/v1/auth/me", { token })).status;

  test("only those that were signed here, for this, and not long ago, are believed", async () => {
    const { id: userId, sessionId, token } = await server.person("forger");
    const claims = { userId, sessionId };
    expect(await status(token)).toBe(200);
    // What follows is refused for what is wrong with it: made rightly, it is believed.
    expect(await status(await forged(claims))).toBe(200);
    expect(await status(await forged(claims, { key: new Uint8Array(32) }))).toBe(401);
    const raw = new TextEncoder().encode(JWT_SECRET);
    expect(await status(await forged(claims, { key: raw }))).toBe(401);
    expect(await status(await forged(claims, { audience: "line" }))).toBe(401);
    const long = new Uint8Array(64).fill(7);
    expect(await status(await forged(claims, { key: long, alg: "HS512" }))).toBe(401);
    expect(await status(await forged({ ...claims, sessionId: "none1none1" }))).toBe(401);
    expect(await status(await forged({ ...claims, userId: "somebody1" }))).toBe(401);
    const [head, payload, signature] = token.split(".");
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url");
    for (const text of [
      `${none}.${payload}.`,
      `${none}.${payload}.${signature}`,
      `${head}.${payload}.`,
    ])
      expect(await status(text), text).toBe(401);
  });

  test("one that is too old says so, and counts as no guess", async () => {
    await using strict = await startAccounts(await anyDatabase(), {
      limits: { failedSignInsPerMinute: 2 },
    });
    const { id: userId, sessionId } = await strict.person("idle");
    const token = await forged({ userId, sessionId }, { expires: nowSeconds() - 1 });
    for (let count = 0; count < 5; count += 1) {
      const { body } = await strict.send("GET", "/api/v1/auth/me", { token });
      expect(body.error.code).toBe("session_expired");
    }
  });

  test("a key of the configuration that looks like a token is a key all the same", async () => {
    const { sessionId } = await server.person("lookalike");
    const looksSigned = await forged({ userId: "x1x1", sessionId }, { key: new Uint8Array(32) });
    await server.keys.bootstrap(looksSigned);
    const answer = await server.send("GET", "/api/v1/users", { token: looksSigned });
    await server.keys.bootstrap(ADMIN_KEY);
    expect(answer.status).toBe(200);
  });
});

describe("guessing", () => {
  test("ends with 429 for an address, and for an account from wherever", async () => {
    const limits = { signInsPerMinute: 8, signInsPerAccountPerMinute: 3 };
    await using server = await startAccounts(await anyDatabase(), { limits });
    const guess = (email: string, password = "not the password") =>
      server.send("POST", "/api/v1/auth/sign-in", { body: { email, password } });
    await server.person("other");
    const statuses = [];
    for (let count = 0; count < 4; count += 1) {
      statuses.push((await guess("victim@example.com")).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429]);
    const answer = await guess("VICTIM@example.com");
    expect(answer.body.error.code).toBe("rate_limited");
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    await guess("third@example.com");
    await guess("fourth@example.com");
    expect((await guess("other@example.com", PASSWORD)).status).toBe(429);
  });

  test("ends with 429 for refresh tokens too", async () => {
    const limits = { failedSignInsPerMinute: 3 };
    await using server = await startAccounts(await anyDatabase(), { limits });
    const statuses = [];
    for (let count = 0; count < 5; count += 1) {
      const body = { refresh_token: `none1none1.${String(count).repeat(43)}` };
      statuses.push((await server.send("POST", "/api/v1/auth/refresh", { body })).status);
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
  });

  test("an address from which someone signed in before is not held up by strangers", async () => {
    const limits = { signInsPerAccountPerMinute: 2 };
    await using server = await startAccounts(await anyDatabase(), { limits, trustProxy: true });
    const { email } = await server.person("regular");
    const from = (address: string, password: string) =>
      server.send("POST", "/api/v1/auth/sign-in", {
        body: { email, password },
        headers: { "x-forwarded-for": address },
      });
    // The first sign-in was from this host; it and the next take what the account has for all.
    expect((await from("192.0.2.1", PASSWORD)).status).toBe(200);
    expect((await from("192.0.2.2", "wrong")).status).toBe(429);
    expect((await from("192.0.2.3", PASSWORD)).status).toBe(429);
    expect((await from("192.0.2.1", PASSWORD)).status).toBe(200);
    expect((await from("192.0.2.1", "wrong")).status).toBe(401);
    expect((await from("192.0.2.1", PASSWORD)).status).toBe(429);
  });

  test("an unknown address is answered as a wrong password is, in words and in time", async () => {
    await using server = await startAccounts(await anyDatabase());
    const { email } = await server.person("known");
    await server.send("POST", "/api/v1/users", {
      key: ADMIN_KEY,
      body: { email: "without@example.com", name: "No password" },
    });
    const attempt = async (address: string) => {
      const startMs = performance.now();
      const { status, body } = await server.send("POST", "/api/v1/auth/sign-in", {
        body: { email: address, password: "not the password" },
      });
      const { requestId, ...error } = body.error;
      return { said: { status, error }, ms: performance.now() - startMs, requestId };
    };
    const times = new Map<string, number[]>();
    const addresses = [email, "unknown@example.com", "without@example.com"];
    for (let round = 0; round < 7; round += 1) {
      for (const address of addresses) {
        const { said, ms } = await attempt(address);
        expect(said).toEqual((await attempt(email)).said);
        times.set(address, [...(times.get(address) ?? []), ms]);
      }
    }
    const medians = addresses.map(
      (address) => times.get(address)?.toSorted((a, b) => a - b)[3] ?? 0,
    );
    // A skipped hash would take a twentieth of the time; a busy machine does not halve it in the median.
    expect(Math.min(...medians)).toBeGreaterThan(Math.max(...medians) / 3);
  });

  test("more hashes than may wait are refused at once, and none is forgotten", async () => {
    const passwords = new Passwords();
    const most = LIMITS.passwordHashesAtOnce.value + LIMITS.passwordHashesWaiting.value;
    const tries = Array.from({ length: most + 5 }, () =>
      passwords.verify("x", undefined).catch((error: unknown) => error),
    );
    const outcomes = await Promise.all(tries);
    expect(outcomes.filter((outcome) => outcome === false)).toHaveLength(most);
    const refused = outcomes.filter((outcome) => outcome instanceof InsienError);
    expect(refused.map(({ code }) => code)).toEqual(Array(5).fill("rate_limited"));
    expect(await passwords.verify(PASSWORD, await passwords.hash(PASSWORD))).toBe(true);
  });
});

describe("the cookie of a browser's session", () => {
  let server: AccountsFixture;
  let email: string;
  beforeAll(async () => {
    server = await startAccounts(await anyDatabase());
    ({ email } = await server.person("browsing"));
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const signIn = (origin: string | undefined) =>
    server.send("POST", "/api/v1/auth/sign-in", {
      body: { email, password: PASSWORD, cookie: true },
      headers: origin === undefined ? {} : { origin },
    });

  test("holds the refresh token where scripts cannot read it, and is rotated and cleared", async () => {
    const { url: origin } = server;
    const signedIn = await signIn(origin);
    expect(signedIn.status).toBe(200);
    expect(signedIn.body).not.toHaveProperty("refresh_token");
    const text = signedIn.headers.get("set-cookie") ?? "";
    expect(text).toMatch(
      /^insien_session=\S+; Max-Age=\d+; HttpOnly; SameSite=Strict; Path=\/api\/v1\/auth$/,
    );
    const headers = { origin, cookie: cookieOf(signedIn) };
    const refreshed = await server.send("POST", "/api/v1/auth/refresh", { headers });
    expect(refreshed.status).toBe(200);
    expect(cookieOf(refreshed)).not.toBe(cookieOf(signedIn));
    // It authenticates nothing else.
    expect((await server.send("GET", "/api/v1/auth/me", { headers })).status).toBe(401);
    const out = await server.send("POST", "/api/v1/auth/sign-out", {
      headers: { origin, cookie: cookieOf(refreshed) },
    });
    expect(out.body).toEqual({ ended: 1 });
    expect(out.headers.get("set-cookie")).toContain("insien_session=; Max-Age=0;");
  });

  test("is of no use to pages of others: other sites, sandboxes, and none at all", async () => {
    const { url } = server;
    const cookie = cookieOf(await signIn(url));
    const { port } = new URL(url);
    const others = [
      "https://evil.example",
      `http://8080-x1x1.localhost:${port}`,
      "null",
      "nonsense",
    ];
    for (const origin of [...others, undefined]) {
      const headers = { cookie, ...(origin === undefined ? {} : { origin }) };
      for (const what of ["refresh", "sign-out"]) {
        const answer = await server.send("POST", `/api/v1/auth/${what}`, { headers });
        expect(answer.body.error.code, `${what} ${origin}`).toBe("forbidden");
      }
      expect((await signIn(origin)).status).toBe(403);
    }
    const headers = { cookie, origin: url };
    expect((await server.send("POST", "/api/v1/auth/refresh", { headers })).status).toBe(200);
  });

  test("that somebody set beside it makes both worthless", async () => {
    const cookie = cookieOf(await signIn(server.url));
    const headers = { origin: server.url, cookie: `insien_session=planted; ${cookie}` };
    const answer = await server.send("POST", "/api/v1/auth/refresh", { headers });
    expect(answer.body.error.code).toBe("session_expired");
  });

  test("over https has a name that only this host can set", async () => {
    const publicUrl = "https://insien.example";
    await using secure = await startAccounts(await anyDatabase(), { publicUrl });
    await secure.person("secure");
    const signedIn = await secure.send("POST", "/api/v1/auth/sign-in", {
      body: { email: "secure@example.com", password: PASSWORD, cookie: true },
      headers: { origin: publicUrl },
    });
    expect(signedIn.headers.get("set-cookie")).toMatch(
      /^__Host-insien_session=\S+; Max-Age=\d+; HttpOnly; SameSite=Strict; Path=\/; Secure$/,
    );
    const headers = { origin: publicUrl, cookie: cookieOf(signedIn) };
    expect((await secure.send("POST", "/api/v1/auth/refresh", { headers })).status).toBe(200);
    const planted = { origin: publicUrl, cookie: cookieOf(signedIn).replace("__Host-", "") };
    const refused = await secure.send("POST", "/api/v1/auth/refresh", { headers: planted });
    expect(refused.status).toBe(401);
  });
});
