import { request } from "node:http";
import { text } from "node:stream/consumers";
import { expect, describe, beforeAll, afterAll, test } from "vitest";
import { Passwords } from "../src/app/passwords.ts";
import type { Database } from "../src/db/index.ts";
import { ADMIN_KEY, type AccountsFixture, PASSWORD, startAccounts } from "./accounts.fixture.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";

/** As a browser asks by a name that leads to this host; fetch would not let one say so. */
function fromName(host: string, url: string, body: object): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { host, origin: `http://${host}`, "content-type": "application/json" };
  const asked = request(`${url}/api/v1/auth/sign-up`, { method: "POST", headers }, (answer) => {
    text(answer).then(resolve, reject);
  });
  asked.on("error", reject).end(JSON.stringify(body));
  return promise;
}

const account = (name: string) => ({ email: `${name}@example.com`, password: PASSWORD, name });

describe.for(DATABASES.filter(({ present }) => present))(
  "the first account in the $kind database",
  ({ prepare }) => {
    let database: Database;
    beforeAll(async () => {
      database = await openForTests(await prepare());
    });

    test("of many who sign up at once, one is the administrator, and alone where it stays at one", async () => {
      await using closed = await startAccounts(database, { signUp: "closed" });
      const refused = await closed.send("POST", "/api/v1/auth/sign-up", { body: account("early") });
      expect(refused.body.error).toMatchObject({ code: "sign_up_closed" });
      await using away = await startAccounts(database, { signUp: "open", firstIsFree: false });
      const { body } = await away.send("POST", "/api/v1/auth/sign-up", { body: account("early") });
      expect(body.error.message).toContain("POST /api/v1/users");

      await using first = await startAccounts(database, { signUp: "first" });
      // A page of anyone's, and one whose name was made to lead here.
      const { port } = new URL(first.url);
      const foreign = await first.send("POST", "/api/v1/auth/sign-up", {
        body: account("early"),
        headers: { origin: "https://evil.example" },
      });
      expect(foreign.body.error.code).toBe("forbidden");
      const rebound = await fromName(`evil.example:${port}`, first.url, account("early"));
      expect(rebound).toContain("sign_up_closed");

      const before = await first.send("GET", "/api/v1/auth/config");
      expect(before.body).toEqual({
        sign_up: "open",
        needs_first_account: true,
        providers: [],
      });
      const racing = ["a", "b", "c", "d"].map((name) =>
        first.send("POST", "/api/v1/auth/sign-up", { body: account(name) }),
      );
      const answers = await Promise.all(racing);
      const refusedOnes = answers.filter(({ status }) => status === 403);
      expect(refusedOnes).toHaveLength(3);
      expect(answers.find(({ status }) => status === 201)?.body.user.admin).toBe(true);
      const after = await first.send("GET", "/api/v1/auth/config");
      expect(after.body).toMatchObject({ sign_up: "closed", needs_first_account: false });

      await using open = await startAccounts(database, { signUp: "open" });
      const next = await open.send("POST", "/api/v1/auth/sign-up", { body: account("next") });
      expect(next.body.user).toMatchObject({ admin: false, email: "next@example.com" });
    });
  },
);

describe.for(DATABASES.filter(({ present }) => present))(
  "accounts in the $kind database",
  ({ prepare }) => {
    let database: Database;
    let server: AccountsFixture;
    beforeAll(async () => {
      database = await openForTests(await prepare());
      server = await startAccounts(database);
      await server.person("administrator1", { admin: true });
    });
    afterAll(() => server[Symbol.asyncDispose]());

    test("sign up, see oneself, change name and password, sign out", async () => {
      const { body: made, status } = await server.send("POST", "/api/v1/auth/sign-up", {
        body: { email: "Ada@Example.com", password: PASSWORD, name: "Ada" },
      });
      expect(status).toBe(201);
      expect(made).toMatchObject({
        token_type: "Bearer",
        expires_in: 900,
        user: { email: "ada@example.com", name: "Ada", admin: false, has_password: true },
      });
      const token = made.access_token;
      const me = await server.send("GET", "/api/v1/auth/me", { token });
      expect(me.body).toMatchObject({ id: made.user.id, session_id: made.session_id });
      const renamed = await server.send("PATCH", "/api/v1/auth/me", {
        token,
        body: { name: "Ada L." },
      });
      expect(renamed.body.name).toBe("Ada L.");

      const elsewhere = await server.send("POST", "/api/v1/auth/sign-in", {
        body: { email: "ADA@example.com", password: PASSWORD },
      });
      const next = "a much better sentence";
      const change = (from: string, to: string) =>
        server.send("POST", "/api/v1/auth/password", {
          token,
          body: { current_password: from, new_password: to },
        });
      expect((await change("not the password", next)).body.error.code).toBe("sign_in_failed");
      expect((await change(PASSWORD, next)).body).toEqual({ ended: 1 });
      const other = { token: elsewhere.body.access_token };
      expect((await server.send("GET", "/api/v1/auth/me", other)).status).toBe(401);
      expect((await server.send("GET", "/api/v1/auth/me", { token })).status).toBe(200);

      const old = { body: { email: "ada@example.com", password: PASSWORD } };
      expect((await server.send("POST", "/api/v1/auth/sign-in", old)).status).toBe(401);
      const signedIn = await server.send("POST", "/api/v1/auth/sign-in", {
        body: { email: "ada@example.com", password: next },
      });
      expect(signedIn.status).toBe(200);
      const out = { body: { refresh_token: signedIn.body.refresh_token } };
      expect((await server.send("POST", "/api/v1/auth/sign-out", out)).body).toEqual({ ended: 1 });
      expect((await server.send("POST", "/api/v1/auth/sign-out", out)).body).toEqual({ ended: 0 });
      const gone = { token: signedIn.body.access_token };
      expect((await server.send("GET", "/api/v1/auth/me", gone)).body.error.code).toBe(
        "session_expired",
      );
    });

    test("an address has one account, however it is written", async () => {
      await server.person("twice");
      const again = await server.send("POST", "/api/v1/auth/sign-up", {
        body: { ...account("twice"), email: "TWICE@example.com" },
      });
      expect(again.body.error).toMatchObject({ code: "account_exists" });
    });

    test.for([
      ["short", "too short"],
      ["x".repeat(257), "too long"],
      ["Password123", "common"],
      ["abababababab", "two characters"],
      ["weakling@example.com", "the address"],
    ] as const)("the password %s is refused: %s", async ([password]) => {
      const body = { email: "weakling@example.com", name: "W", password };
      const answer = await server.send("POST", "/api/v1/auth/sign-up", { body });
      expect(answer.status).toBe(400);
      expect(answer.body.error.details.field).toBe("password");
    });

    test.for(["no-at", "a b@example.com", "a@b@c", "@x", "a@x\u0000y"])(
      "%j is no email address",
      async (email) => {
        const body = { email, name: "N", password: PASSWORD };
        const answer = await server.send("POST", "/api/v1/auth/sign-up", { body });
        expect(answer.status).toBe(400);
      },
    );

    test("sessions are listed, and end one by one or all at once", async () => {
      const one = await server.person("busy");
      const body = { email: one.email, password: PASSWORD };
      const agent = { "user-agent": `a browser ${"x".repeat(500)}` };
      const two = await server.send("POST", "/api/v1/auth/sign-in", { body, headers: agent });
      const stranger = await server.person("stranger");
      const { body: list } = await server.send("GET", "/api/v1/auth/sessions", {
        token: one.token,
      });
      const ofBrowser = list.items.find((each: { id: string }) => each.id === two.body.session_id);
      expect(list.items).toHaveLength(2);
      expect(ofBrowser.current).toBe(false);
      expect(ofBrowser.user_agent).toHaveLength(200);

      const path = `/api/v1/auth/sessions/${two.body.session_id}`;
      const byStranger = await server.send("DELETE", path, { token: stranger.token });
      expect(byStranger.body).toEqual({ ended: 0 });
      const { token } = one;
      expect((await server.send("DELETE", path, { token })).body).toEqual({ ended: 1 });
      const ended = await server.send("GET", "/api/v1/auth/me", { token: two.body.access_token });
      expect(ended.status).toBe(401);
      const all = await server.send("DELETE", "/api/v1/auth/sessions", { token });
      expect(all.body).toEqual({ ended: 1 });
      expect((await server.send("GET", "/api/v1/auth/me", { token })).status).toBe(401);
    });

    test("a person has so many sessions, and the one unused longest gives way", async () => {
      const { id } = await server.person("everywhere");
      const user = await database.users.get(id);
      if (user === undefined) throw new Error("there is no such account");
      for (let count = 0; count < 51; count += 1) {
        await server.sessions.open(user, { userAgent: String(count) });
      }
      const listed = await database.sessions.list(id, new Date());
      expect(listed).toHaveLength(50);
      expect(listed.map(({ userAgent }) => userAgent)).toContain("50");
    });

    test("administrators make, list and disable accounts; others do not", async () => {
      const admin = await server.person("administrator2", { admin: true });
      const plain = await server.person("plain");
      const asPlain = { token: plain.token };
      const body = { email: "more@example.com", name: "More" };
      expect((await server.send("GET", "/api/v1/users", asPlain)).status).toBe(403);
      expect((await server.send("POST", "/api/v1/users", { ...asPlain, body })).status).toBe(403);

      const made = await server.send("POST", "/api/v1/users", { token: admin.token, body });
      expect(made.body).toMatchObject({ ...body, admin: false, has_password: false });
      const signIn = { body: { email: body.email, password: PASSWORD } };
      expect((await server.send("POST", "/api/v1/auth/sign-in", signIn)).status).toBe(401);

      const seen = new Set<string>();
      let cursor = "";
      do {
        const page = await server.send("GET", `/api/v1/users?limit=2${cursor}`, {
          token: admin.token,
        });
        for (const item of page.body.items) seen.add(item.id);
        cursor = page.body.next_cursor === undefined ? "" : `&cursor=${page.body.next_cursor}`;
      } while (cursor !== "");
      expect([...seen]).toEqual(expect.arrayContaining([admin.id, plain.id, made.body.id]));

      const itself = await server.send("PATCH", `/api/v1/users/${admin.id}`, {
        token: admin.token,
        body: { disabled: true },
      });
      expect(itself.body.error.code).toBe("conflict");
      const nobody = await server.send("PATCH", "/api/v1/users/nobody", {
        key: ADMIN_KEY,
        body: { disabled: true },
      });
      expect(nobody.body.error.code).toBe("account_not_found");
    });

    test("a disabled account's sessions end, its keys are refused, and it comes back", async () => {
      const person = await server.person("paused");
      const key = await server.send("POST", "/api/v1/keys", {
        token: person.token,
        body: { name: "mine" },
      });
      const byKey = () => server.send("GET", "/api/v1/sandboxes", { key: key.body.key });
      expect((await byKey()).status).toBe(200);
      const set = (disabled: boolean) =>
        server.send("PATCH", `/api/v1/users/${person.id}`, { key: ADMIN_KEY, body: { disabled } });
      expect((await set(true)).body.disabled).toBe(true);
      expect((await byKey()).status).toBe(401);
      const { token } = person;
      expect((await server.send("GET", "/api/v1/auth/me", { token })).status).toBe(401);
      const refresh = { body: { refresh_token: person.refresh } };
      expect((await server.send("POST", "/api/v1/auth/refresh", refresh)).status).toBe(401);
      const signIn = { body: { email: person.email, password: PASSWORD } };
      const refused = await server.send("POST", "/api/v1/auth/sign-in", signIn);
      expect(refused.body.error.code).toBe("account_disabled");
      await set(false);
      expect((await byKey()).status).toBe(200);
      expect((await server.send("POST", "/api/v1/auth/sign-in", signIn)).status).toBe(200);
    });

    test("people make, see and revoke their own keys, and none for others", async () => {
      const one = await server.person("keymaker");
      const admin = await server.person("administrator3", { admin: true });
      const make = (token: string, body: object) =>
        server.send("POST", "/api/v1/keys", { token, body: { name: "k", ...body } });
      const made = await make(one.token, {});
      expect(made.body).toMatchObject({ owner_id: one.id, admin: false });
      const sandboxes = await server.send("GET", "/api/v1/sandboxes", { key: made.body.key });
      expect(sandboxes.status).toBe(200);
      expect((await make(one.token, { admin: true })).status).toBe(403);
      expect((await make(one.token, { owner_id: admin.id })).status).toBe(403);
      expect((await make(admin.token, { owner_id: one.id })).body.owner_id).toBe(one.id);
      expect((await make(admin.token, {})).body.owner_id).toBe(admin.id);
      // A key is no person: with one, no more are made.
      const byKey = await server.send("POST", "/api/v1/keys", {
        key: made.body.key,
        body: { name: "more" },
      });
      expect(byKey.status).toBe(403);
      const { body } = await server.send("GET", "/api/v1/keys", { token: one.token });
      const owners = body.items.map((item: { owner_id: string }) => item.owner_id);
      expect(new Set(owners)).toEqual(new Set([one.id]));
      const other = await server.person("keythief");
      const path = `/api/v1/keys/${made.body.id}`;
      const byOther = await server.send("DELETE", path, { token: other.token });
      expect(byOther.body).toEqual({ revoked: false });
      const byOwner = await server.send("DELETE", path, { token: one.token });
      expect(byOwner.body).toEqual({ revoked: true });
    });

    test("a key has no account of its own to look at", async () => {
      for (const [method, path] of [
        ["GET", "/api/v1/auth/me"],
        ["GET", "/api/v1/auth/sessions"],
        ["DELETE", "/api/v1/auth/sessions"],
        ["DELETE", "/api/v1/auth/sessions/x1x1x1"],
      ] as const) {
        const answer = await server.send(method, path, { key: ADMIN_KEY });
        expect(answer.body.error?.code, path).toBe("forbidden");
      }
    });

    test("a hash is made anew at sign-in once it costs more to guess", async () => {
      const cheap = new Passwords({ cost: { memoryKib: 64, passes: 1, parallelism: 1 } });
      await using earlier = await startAccounts(database, { passwords: cheap });
      const { id, email } = await earlier.person("from-earlier");
      const hashOf = async () => (await database.users.get(id))?.passwordHash;
      expect(await hashOf()).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$/);
      const wrong = { body: { email, password: "not the password" } };
      await server.send("POST", "/api/v1/auth/sign-in", wrong);
      expect(await hashOf()).toMatch(/^\$argon2id\$v=19\$m=64,/);
      const body = { email, password: PASSWORD };
      expect((await server.send("POST", "/api/v1/auth/sign-in", { body })).status).toBe(200);
      expect(await hashOf()).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
      expect((await server.send("POST", "/api/v1/auth/sign-in", { body })).status).toBe(200);
    });
  },
);
