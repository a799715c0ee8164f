/**
 * Goal: no route forgets to ask who is calling. The list of routes is the server's own, so a route
 * added tomorrow is tested tomorrow: without a key, with a wrong key, and as a stranger who knows
 * the id of somebody else's sandbox.
 */
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

interface OpenApi {
  paths: Record<string, Record<string, unknown>>;
}
interface Call {
  method: string;
  path: string;
}

/** Open to all on purpose: they say nothing about anyone. */
const OPEN = new Set([
  ...["GET /health", "GET /openapi.json", "GET /docs", "GET /api/v1/auth/config"],
  "GET /",
]);
/** Where people sign in, who have nothing yet: told that the body lacks all, or the server a provider. */
const SIGN_IN = new Map([
  ["POST /api/v1/auth/sign-up", 400],
  ["POST /api/v1/auth/sign-in", 400],
  ["GET /api/v1/auth/oidc", 404],
  ["GET /api/v1/auth/oidc/callback", 404],
]);
/** Kept out of the document because browsers are meant to open them, or they are no HTTP. */
const UNDOCUMENTED: Call[] = [
  { method: "GET", path: "/" },
  { method: "GET", path: "/docs" },
  { method: "GET", path: "/openapi.json" },
];

let server: TestServer;
let strangerKey: string;
let victim: Sandbox;
let calls: Call[];

beforeAll(async () => {
  // Wrong keys are counted by address; each call here comes from one of its own.
  server = await startServer({ runtime: "bubblewrap", env: { INSIEN_TRUST_PROXY: "1" } });
  const created = await fetch(`${server.url}/api/v1/keys`, {
    method: "POST",
    headers: { ...server.headers, "content-type": "application/json" },
    body: JSON.stringify({ name: "a stranger" }),
  });
  strangerKey = ((await created.json()) as { key: string }).key;
  victim = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
  await victim.files.write("secret.txt", "the victim's own");
  const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApi;
  calls = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  );
  calls.push(...UNDOCUMENTED);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** Bodies that would be accepted, so that it is the owner who is asked for and not the body. */
const BODIES: [end: string, body: object][] = [
  ["/exec", { cmd: "true" }],
  ["/volumes", { volume: "x1x1x1", mount_path: "/x" }],
  ["/timeout", { ttl_seconds: 60 }],
  ["/ports", { internal: 8080 }],
  ["/ports/{port}", { public: true }],
  ["/environment", { environment: { A: "1" } }],
  ["/entrypoint", { command: "true" }],
];
const bodyOf = ({ method, path }: Call): string | undefined => {
  if (!["POST", "PUT", "PATCH"].includes(method)) return undefined;
  return JSON.stringify(BODIES.find(([end]) => path.endsWith(end))?.[1] ?? {});
};

let addresses = 0;
const fromElsewhere = (): Record<string, string> => {
  addresses += 1;
  return { "x-forwarded-for": `192.0.2.${addresses % 250}` };
};

const send = (call: Call, headers: Record<string, string>): Promise<Response> => {
  const path = call.path
    .replaceAll(/\{id\}/g, victim.id)
    .replace("{port}", "8080")
    .replaceAll(/\{[^}]+\}/g, "x1x1x1");
  const query = /\/(?:files|directories|archive)$/.test(path) ? "?path=secret.txt" : "";
  const body = bodyOf(call);
  return fetch(`${server.url}${path}${query}`, {
    method: call.method,
    headers: {
      ...fromElsewhere(),
      ...headers,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body }),
  });
};

const name = (call: Call): string => `${call.method} ${call.path}`;

describe("every route", () => {
  test("is in the list that the server gives of itself", () => {
    expect(calls.map(name)).toEqual(
      expect.arrayContaining(["POST /sandbox/create", "POST /api/v1/sandboxes", "GET /health"]),
    );
    expect(calls.length).toBeGreaterThan(15);
  });

  test("refuses whoever has no key or a wrong one", async () => {
    for (const call of calls) {
      for (const headers of [
        {},
        { "x-api-key": "insien_wrong" },
        { authorization: "Bearer wrong" },
      ]) {
        const { status } = await send(call, headers);
        if (OPEN.has(name(call))) expect(status, name(call)).toBe(200);
        else expect(status, name(call)).toBe(SIGN_IN.get(name(call)) ?? 401);
      }
    }
  });

  test("shows a stranger nothing of a sandbox, not even that it exists", async () => {
    const aboutSandbox = calls.filter(
      (call) =>
        call.path.includes("{id}") && !/\/(?:keys|webhooks|users|auth\/sessions)\//.test(call.path),
    );
    expect(aboutSandbox.length).toBeGreaterThan(8);
    for (const call of aboutSandbox) {
      const answer = await send(call, { "x-api-key": strangerKey });
      const text = await answer.text();
      // Asked for without a WebSocket, its address is refused before anyone looked whose it is.
      const expected = call.path.startsWith("/agent/") ? 426 : 404;
      expect(answer.status, `${name(call)} ${text}`).toBe(expected);
      expect(text).not.toContain("the victim's own");
    }
    const list = await fetch(`${server.url}/api/v1/sandboxes`, {
      headers: { "x-api-key": strangerKey },
    });
    expect(((await list.json()) as { items: unknown[] }).items).toEqual([]);
    expect(await victim.files.read("secret.txt")).toBe("the victim's own");
  });

  test("a stranger manages no keys", async () => {
    const headers = {
      ...fromElsewhere(),
      "x-api-key": strangerKey,
      "content-type": "application/json",
    };
    const made = await fetch(`${server.url}/api/v1/keys`, {
      method: "POST",
      headers,
      body: JSON.stringify({ name: "more", admin: true }),
    });
    expect(made.status).toBe(403);
    const list = await fetch(`${server.url}/api/v1/keys`, { headers });
    const { items } = (await list.json()) as { items: { owner_id: string }[] };
    expect(new Set(items.map((item) => item.owner_id)).size).toBeLessThanOrEqual(1);
  });

  test.each(["/agent/ID", "/agent/ID/ports/22", "/line/ID"])(
    "WebSocket %s lets nobody in who may not",
    async (path) => {
      const status = (headers: Record<string, string>, base: string) =>
        new Promise<number | "open">((resolve) => {
          const socket = new WebSocket(`${base}${path.replace("ID", victim.id)}`, {
            headers: { ...fromElsewhere(), ...headers },
          });
          socket.once("open", () => resolve("open"));
          socket.once("unexpected-response", (_request, response) =>
            resolve(response.statusCode ?? 0),
          );
          socket.once("error", () => undefined);
        });
      for (const base of [server.url.replace("http", "ws"), server.webSocketUrl]) {
        expect(await status({}, base)).toBe(401);
        expect(await status({ "x-api-key": "wrong" }, base)).toBe(401);
        expect([401, 404]).toContain(await status({ "x-api-key": strangerKey }, base));
      }
    },
  );
});
