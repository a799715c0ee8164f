/**
 * Goal: what happens to a sandbox arrives, signed, at the address that its owner gave, also when the
 * server was killed in between.
 */
import { Sandbox } from "@insien/sandbox";
import { startServer, type TestServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  expectedSignature,
  WebhookReceiver,
} from "../../packages/orchestrator/test/webhook-receiver.ts";

let server: TestServer;
let receiver: WebhookReceiver;
beforeAll(async () => {
  const env = { INSIEN_WEBHOOK_ALLOW_PRIVATE: "1", INSIEN_ON_STOP: "destroy" };
  [server, receiver] = await Promise.all([
    startServer({ runtime: "bubblewrap", env }),
    WebhookReceiver.start(),
  ]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await receiver[Symbol.asyncDispose]();
});

const call = async (method: string, path: string, body?: object) => {
  const response = await fetch(`${server.url}/api/v1/webhooks${path}`, {
    method,
    headers: { ...server.headers, ...(body && { "content-type": "application/json" }) },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

test("a sandbox's life is told to a webhook, across a crash of the server", async () => {
  const created = await call("POST", "", { url: receiver.url, events: ["sandbox.*"] });
  expect(created.status).toBe(201);
  const { id, secret } = created.body as { id: string; secret: string };
  expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(JSON.stringify((await call("GET", `/${id}`)).body)).not.toContain(secret);
  expect(JSON.stringify((await call("GET", "")).body)).not.toContain(secret);

  const sandbox = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
  await sandbox.commands.run("true");
  await waitFor(() => receiver.types.includes("sandbox.running"));
  // It fails while the server is up, and is sent by the one that comes after.
  receiver.answer = (response) => {
    response.statusCode = 500;
    response.end();
  };
  await sandbox.destroy();
  await waitFor(() => receiver.types.includes("sandbox.destroyed"));
  await server.restart();
  receiver.answer = (response) => void response.end();
  const delivery = await waitFor(
    async () => {
      const { items } = (await call("GET", `/${id}/deliveries?state=delivered`)).body as {
        items: { event: { type: string; sandbox_id: string }; attempts: number }[];
      };
      return items.find(({ event }) => event.type === "sandbox.destroyed");
    },
    { timeoutMs: 60_000 },
  );
  expect(delivery.event.sandbox_id).toBe(sandbox.id);
  expect(delivery.attempts).toBeGreaterThan(1);
  expect(receiver.types.every((type) => type.startsWith("sandbox."))).toBe(true);
  for (const webhook of receiver.received) {
    expect(webhook.headers["webhook-signature"]).toBe(expectedSignature(secret, webhook));
  }
});

test("a test and a replay are sent, and a deleted webhook gets nothing", async () => {
  const created = await call("POST", "", { url: receiver.url, description: "mine" });
  const { id } = created.body as { id: string };
  const tested = await call("POST", `/${id}/test`);
  expect(tested.status).toBe(202);
  await waitFor(() => receiver.types.includes("webhook.test"));
  const deliveryId = String(tested.body["id"]);
  await waitFor(async () => {
    const { body } = await call("GET", `/${id}/deliveries?state=delivered`);
    return JSON.stringify(body).includes(deliveryId);
  });
  expect((await call("POST", `/${id}/deliveries/${deliveryId}/replay`)).status).toBe(202);
  const tests = () =>
    receiver.received.filter(({ headers }) => headers["webhook-id"] === deliveryId);
  await waitFor(() => tests().length === 2);
  expect((await call("POST", `/${id}/deliveries/none/replay`)).body).toMatchObject({
    error: { code: "delivery_not_found" },
  });
  expect((await call("PATCH", `/${id}`, { events: ["nothing.*"] })).body).toMatchObject({
    events: ["nothing.*"],
    description: "mine",
  });
  expect((await call("DELETE", `/${id}`)).body).toEqual({ deleted: true });
  expect((await call("DELETE", `/${id}`)).body).toEqual({ deleted: false });
  expect((await call("GET", `/${id}`)).status).toBe(404);
});

test.each([
  { url: "ftp://example.com/" },
  { url: "https://user:password@example.com/" },
  { url: "https://example.com/", events: ["sandbox"] },
  { url: "https://example.com/", secret: "mine" },
])("%j is no webhook", async (body) => {
  const { status, body: answer } = await call("POST", "", body);
  expect(status).toBe(400);
  expect(answer).toMatchObject({ error: { code: "invalid_request" } });
});
