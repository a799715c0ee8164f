/**
 * Goal: what an owner may have is decided at the door that everybody uses: the server's defaults, what
 * an administrator set instead, and what the refused are told.
 */
import type { QuotaView } from "@insien/protocol";
import { type TestServer, startServer } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const [runtime] = presentRuntimes.toReversed();
let server: TestServer;
/** Of an owner who is no administrator. */
let key: string;
let ownerId: string;

interface Refusal {
  error: { code: string; message: string; details?: Record<string, unknown> };
}

beforeAll(async () => {
  server = await startServer({
    ...(runtime === undefined ? {} : { runtime }),
    env: { INSIEN_QUOTA_SANDBOXES: "1", INSIEN_QUOTA_MEMORY: "2g" },
  });
  const made = await send<{ key: string; owner_id: string }>("POST", "/keys", { name: "user" });
  key = made.body.key;
  ownerId = made.body.owner_id;
});
afterAll(() => server[Symbol.asyncDispose]());

async function send<Body = object>(
  method: string,
  path: string,
  body?: object,
  as: string = server.apiKey,
): Promise<{ status: number; headers: Headers; body: Body & Refusal }> {
  const answer = await fetch(`${server.url}/api/v1${path}`, {
    method,
    headers: {
      "x-api-key": as,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return {
    status: answer.status,
    headers: answer.headers,
    body: (await answer.json()) as Body & Refusal,
  };
}
const create = () => send<{ id: string }>("POST", "/sandboxes", {}, key);

test("the default holds, is shown, and is named by the error", async () => {
  const first = await create();
  expect(first.status, JSON.stringify(first.body)).toBe(201);
  const { body: own } = await send<QuotaView>("GET", "/quota", undefined, key);
  expect(own).toEqual({
    owner_id: ownerId,
    limits: {
      sandboxes: 1,
      cpu: null,
      memory_bytes: 2 * 1024 ** 3,
      disk_bytes: null,
      creates_per_minute: null,
    },
    used: expect.objectContaining({ sandboxes: 1, cpu: 1, memory_bytes: 512 * 1024 ** 2 }),
  });
  const refused = await create();
  expect(refused.status).toBe(403);
  expect(refused.body.error).toMatchObject({
    code: "quota_exceeded",
    details: { quota: "sandboxes", limit: 1, used: 1 },
  });
  await send("DELETE", `/sandboxes/${first.body.id}`, undefined, key);
  const next = await create();
  expect(next.status).toBe(201);
  await send("DELETE", `/sandboxes/${next.body.id}`, undefined, key);
});

test("only an administrator sets others, and they hold at once", async () => {
  const path = `/quotas/${ownerId}`;
  for (const method of ["GET", "PUT", "DELETE"]) {
    const body = method === "PUT" ? { sandboxes: null } : undefined;
    expect((await send(method, path, body, key)).status, method).toBe(403);
  }
  const set = await send<QuotaView>("PUT", path, {
    sandboxes: null,
    memory: "4g",
    creates_per_minute: 1,
  });
  expect(set.body.limits).toMatchObject({
    sandboxes: null,
    memory_bytes: 4 * 1024 ** 3,
    creates_per_minute: 1,
  });
  const refused = await create();
  expect(refused.status).toBe(429);
  const { details } = refused.body.error;
  expect(details).toMatchObject({ quota: "creates_per_minute", limit: 1, used: 2 });
  expect(refused.headers.get("retry-after")).toBe(String(details?.["retryAfterSeconds"]));
  expect((await send("PUT", path, { memory: "much" })).status).toBe(400);
  expect((await send("DELETE", path)).body).toEqual({ cleared: true });
  const again = await create();
  expect(again.status).toBe(201);
});

test("administrators have the server's defaults too", async () => {
  const { body } = await send<QuotaView>("GET", "/quota");
  expect(body.limits.sandboxes).toBe(1);
});
