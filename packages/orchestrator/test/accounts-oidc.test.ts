import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ProviderSettings } from "../src/app/oidc-sign-in.ts";
import type { Database } from "../src/db/index.ts";
import {
  ADMIN_KEY,
  type AccountsFixture,
  type Answer,
  PASSWORD,
  cookieOf,
  startAccounts,
} from "./accounts.fixture.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import {
  CLIENT_ID,
  CLIENT_SECRET,
  type ProviderFixture,
  startProvider,
} from "./oidc-provider.fixture.ts";

const START = "/api/v1/auth/oidc";

describe.for(DATABASES.filter(({ present }) => present))(
  "signing in with a provider, in the $kind database",
  ({ prepare }) => {
    let database: Database;
    let provider: ProviderFixture;
    let server: AccountsFixture;
    let settings: ProviderSettings;

    const withProvider = async (
      change: Partial<ProviderSettings> = {},
      options: Parameters<typeof startAccounts>[1] = {},
    ) => {
      const oidc = { ...settings, ...change };
      const started = await startAccounts(database, { ...options, oidc });
      provider.allow(`${started.url}${START}/callback`);
      return started;
    };

    beforeAll(async () => {
      database = await openForTests(await prepare());
      provider = await startProvider();
      settings = {
        issuer: provider.issuer,
        clientId: CLIENT_ID,
        clientSecret: CLIENT_SECRET,
        name: "Test login",
        emailDomains: undefined,
      };
      server = await withProvider();
    });
    afterAll(async () => {
      await server[Symbol.asyncDispose]();
      await provider[Symbol.asyncDispose]();
    });

    /** The whole way of a browser; `change` is made to what it brings back. */
    const signIn = async (
      subject: string,
      options: {
        at?: AccountsFixture;
        returnTo?: string;
        change?: (url: URL) => void;
        ticket?: string;
      } = {},
    ): Promise<Answer> => {
      const { at = server, returnTo = "/sandboxes" } = options;
      const started = await at.send("GET", `${START}?return_to=${encodeURIComponent(returnTo)}`);
      expect(started.status, JSON.stringify(started.body)).toBe(302);
      const address = started.headers.get("location") ?? "";
      expect(new URL(address).searchParams.get("code_challenge_method")).toBe("S256");
      const back = new URL(await provider.signIn(address, subject));
      options.change?.(back);
      const cookie = options.ticket ?? cookieOf(started);
      return at.send("GET", `${back.pathname}${back.search}`, { headers: { cookie } });
    };
    const sessionOf = async (answer: Answer, at = server) => {
      const cookies = answer.headers.getSetCookie().map((text) => text.split(";", 1)[0] ?? "");
      const cookie = cookies.find((text) => text.startsWith("insien_session=")) ?? "";
      const headers = { origin: at.url, cookie };
      return at.send("POST", "/api/v1/auth/refresh", { headers });
    };

    test("a person gets an account, the first an administrator's, and the same the next time", async () => {
      const config = await server.send("GET", "/api/v1/auth/config");
      expect(config.body.providers).toEqual([{ name: "Test login", url: START }]);
      provider.people.set("ada", {
        email: "Ada@example.com",
        email_verified: true,
        name: "Ada L.",
      });
      const answer = await signIn("ada");
      expect(answer.status, JSON.stringify(answer.body)).toBe(303);
      expect(answer.headers.get("location")).toBe("/sandboxes");
      const { body } = await sessionOf(answer);
      const person = { email: "ada@example.com", name: "Ada L.", admin: true, has_password: false };
      expect(body.user).toMatchObject(person);
      // Their address at the provider may change; who they are does not.
      provider.people.set("ada", { email: "ada@new.example", email_verified: true });
      const again = await sessionOf(await signIn("ada"));
      expect(again.body.user.id).toBe(body.user.id);
    });

    test("an address that the provider does not vouch for is nobody's", async () => {
      provider.people.set("mallory", { email: "ada@example.com", email_verified: false });
      const answer = await signIn("mallory");
      expect(answer.body.error).toMatchObject({ code: "sign_in_failed" });
      provider.people.set("nameless", {});
      expect((await signIn("nameless")).status).toBe(401);
    });

    test("an account with a password is not taken over, one without waits for its person", async () => {
      await server.person("has-password");
      provider.people.set("p", { email: "has-password@example.com", email_verified: true });
      expect((await signIn("p")).body.error.code).toBe("account_exists");
      const made = await server.send("POST", "/api/v1/users", {
        key: ADMIN_KEY,
        body: { email: "invited@example.com", name: "Invited" },
      });
      provider.people.set("i", { email: "invited@example.com", email_verified: true });
      const { body } = await sessionOf(await signIn("i"));
      expect(body.user).toMatchObject({ id: made.body.id, name: "Invited" });
    });

    test("where sign-up is closed, only who is known or of an invited domain gets in", async () => {
      provider.people.set("new", { email: "new@example.com", email_verified: true });
      await using closed = await withProvider({}, { signUp: "first" });
      expect((await signIn("new", { at: closed })).body.error.code).toBe("sign_up_closed");
      const domains = { emailDomains: ["example.com"] };
      await using invited = await withProvider(domains, { signUp: "first" });
      expect((await signIn("new", { at: invited })).status).toBe(303);
      expect((await signIn("new", { at: closed })).status).toBe(303);
      provider.people.set("other", { email: "x@notexample.com", email_verified: true });
      expect((await signIn("other", { at: invited })).body.error.message).toContain(
        "notexample.com",
      );
    });

    test("a disabled account stays out", async () => {
      provider.people.set("off", { email: "off@example.com", email_verified: true });
      const { body } = await sessionOf(await signIn("off"));
      await server.send("PATCH", `/api/v1/users/${body.user.id}`, {
        key: ADMIN_KEY,
        body: { disabled: true },
      });
      expect((await signIn("off")).body.error.code).toBe("account_disabled");
    });

    test("an answer to another's sign-in, a changed one and a repeated one are refused", async () => {
      provider.people.set("eve", { email: "eve@example.com", email_verified: true });
      const refused = async (change: (url: URL) => void, ticket?: string) => {
        const answer = await signIn("eve", { change, ...(ticket === undefined ? {} : { ticket }) });
        expect(answer.body.error?.code, String(change)).toBe("sign_in_failed");
        expect(answer.headers.get("set-cookie")).not.toContain("insien_session=");
      };
      await refused(({ searchParams }) => searchParams.set("state", "another"));
      await refused(({ searchParams }) => searchParams.set("code", "another"));
      await refused(({ searchParams }) => searchParams.set("iss", "https://evil.example"));
      await refused(({ searchParams }) => searchParams.delete("code"));
      await refused(() => undefined, "insien_ticket=made-up");
      await refused(() => undefined, "");
      const others = cookieOf(await server.send("GET", START));
      await refused(() => undefined, others);
      const denied = await server.send("GET", `${START}/callback?error=access_denied`, {
        headers: { cookie: others },
      });
      expect(denied.status).toBe(401);

      let seen = "";
      const started = await server.send("GET", START);
      const cookie = cookieOf(started);
      const back = new URL(await provider.signIn(started.headers.get("location") ?? "", "eve"));
      seen = `${back.pathname}${back.search}`;
      expect((await server.send("GET", seen, { headers: { cookie } })).status).toBe(303);
      expect((await server.send("GET", seen, { headers: { cookie } })).status).toBe(401);
    });

    test.for(["//evil.example", "https://evil.example", "/\\evil.example", "x"])(
      "the browser is not sent on to %s",
      async (returnTo) => {
        const path = `${START}?return_to=${encodeURIComponent(returnTo)}`;
        expect((await server.send("GET", path)).status).toBe(400);
      },
    );

    test("no ticket, code or client secret is in the log", async () => {
      provider.people.set("quiet", { email: "quiet@example.com", email_verified: true });
      let code = "";
      await signIn("quiet", { change: (url) => (code = url.searchParams.get("code") ?? "") });
      await signIn("quiet", { change: (url) => url.searchParams.set("state", "another-state") });
      expect(code).not.toBe("");
      for (const secret of [code, CLIENT_SECRET, "insien_ticket", PASSWORD])
        expect(server.logged()).not.toContain(secret);
    });

    test("a provider that is away is told as such, and asked again", async () => {
      const away = await startProvider();
      await away[Symbol.asyncDispose]();
      await using alone = await withProvider({ issuer: away.issuer });
      const answer = await alone.send("GET", START);
      expect(answer.body.error).toMatchObject({ code: "provider_unavailable", retryable: true });
    });
  },
);
