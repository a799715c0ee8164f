import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

export const CLIENT_ID = "insien";
export const CLIENT_SECRET = "the-clients-secret-at-the-provider";

export interface Claims {
  email?: string;
  email_verified?: boolean;
  name?: string;
}

/** A real provider on loopback, at which one signs in as whomever one names. */
export interface ProviderFixture extends AsyncDisposable {
  issuer: string;
  /** Of each subject. */
  people: Map<string, Claims>;
  /** Where it may send browsers back to. */
  allow(redirectUri: string): void;
  /** What a browser does from the provider's address on, until it is sent back: to where. */
  signIn(address: string, subject: string): Promise<string>;
}

export async function startProvider(): Promise<ProviderFixture> {
  const people = new Map<string, Claims>();
  const redirects: string[] = [];
  let handle: ReturnType<Provider["callback"]> | undefined;
  const http = createServer((request, response) => void handle?.(request, response));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const start = (): void => {
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: CLIENT_SECRET,
          token_endpoint_auth_method: "client_secret_post",
          redirect_uris: [...redirects],
        },
      ],
      claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
      findAccount: (_context, subject) => ({
        accountId: subject,
        claims: () => Promise.resolve({ sub: subject, ...people.get(subject) }),
      }),
      cookies: { keys: ["the tests' own"] },
      pkce: { required: () => true },
    });
    handle = provider.callback();
  };
  return {
    ...{ issuer, people },
    allow: (redirectUri) => {
      redirects.push(redirectUri);
      start();
    },
    signIn: (address, subject) => browse(issuer, address, subject),
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** Follows redirects and fills in the provider's two forms: who one is, and that one agrees. */
async function browse(issuer: string, address: string, subject: string): Promise<string> {
  const cookies = new Map<string, string>();
  let next: { url: string; form?: URLSearchParams } = { url: address };
  for (let step = 0; step < 12; step += 1) {
    const response = await fetch(next.url, {
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(next.form === undefined ? {} : { method: "POST", body: next.form }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get("location");
    const page = await response.text();
    if (location !== null) {
      const url = new URL(location, next.url).href;
      if (!url.startsWith(issuer)) return url;
      next = { url };
      continue;
    }
    const [, prompt] = /name="prompt" value="(\w+)"/.exec(page) ?? [];
    const [, action] = /action="([^"]+)"/.exec(page) ?? [];
    if (prompt === undefined || action === undefined)
      throw new Error(`the provider shows ${response.status} ${page.slice(0, 500)}`);
    next = {
      url: new URL(action, next.url).href,
      form: new URLSearchParams({ prompt, login: subject, password: "any" }),
    };
  }
  throw new Error("the provider never sent the browser back");
}
