/**
 * Goal: a person who signed in is let in wherever a key is, sees what is theirs alone, and is out
 * everywhere once their session ends. On the whole server, as people have it.
 */
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

interface Session {
  access_token: string;
  refresh_token: string;
  user: { id: string; admin: boolean };
}

const PASSWORD = "correct horse battery";
let server: TestServer;

beforeAll(async () => {
  server = await startServer({ runtime: "bubblewrap", env: { INSIEN_SIGN_UP: "open" } });
});
afterAll(() => server[Symbol.asyncDispose]());

async function call(path: string, options: { token?: string; body?: object } = {}) {
  const { token, body } = options;
  return fetch(`${server.url}${path}`, {
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
    headers: {
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
  });
}

async function signUp(name: string): Promise<Session> {
  const body = { email: `${name}@example.com`, password: PASSWORD, name };
  const answer = await call("/api/v1/auth/sign-up", { body });
  expect(answer.status).toBe(201);
  return (await answer.json()) as Session;
}

describe("people on a whole server", () => {
  test("have sandboxes of their own, by REST and by WebSocket, until they sign out", async () => {
    const first = await signUp("first");
    const second = await signUp("second");
    expect([first.user.admin, second.user.admin]).toEqual([true, false]);
    const options = { apiKey: second.access_token, apiUrl: server.url };
    const sandbox = await Sandbox.create(options);
    const { stdout } = await sandbox.commands.run("echo from a person");
    expect(stdout).toBe("from a person\n");
    const path = `/api/v1/sandboxes/${sandbox.id}`;
    const made = await call("/api/v1/keys", { token: second.access_token, body: { name: "ci" } });
    const { key } = (await made.json()) as { key: string };
    for (const own of [second.access_token, key])
      expect((await call(path, { token: own })).status).toBe(200);
    // Not even to the administrator does it exist.
    expect((await call(path, { token: first.access_token })).status).toBe(404);
    const metrics = await call("/metrics", { token: second.access_token });
    expect(metrics.status).toBe(403);
    expect((await call("/metrics", { token: first.access_token })).status).toBe(200);

    const body = { refresh_token: second.refresh_token };
    expect((await call("/api/v1/auth/sign-out", { body })).status).toBe(200);
    expect((await call(path, { token: second.access_token })).status).toBe(401);
    await expect(Sandbox.connect(sandbox.id, options)).rejects.toMatchObject({
      code: "session_expired",
    });
  });

  test("sessions outlive a killed server, and none of their secrets is in its log", async () => {
    const third = await signUp("third");
    await server.restart();
    expect((await call("/api/v1/auth/me", { token: third.access_token })).status).toBe(200);
    const body = { refresh_token: third.refresh_token };
    expect((await call("/api/v1/auth/refresh", { body })).status).toBe(200);
    for (const secret of [third.access_token, third.refresh_token, PASSWORD])
      expect(server.output).not.toContain(secret);
  });
});
