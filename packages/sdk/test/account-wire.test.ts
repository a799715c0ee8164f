import {
  createKeyBody,
  createWebhookBody,
  changeWebhookBody,
  createdKey,
  createdWebhook,
  quotaBody,
} from "@insien/protocol";
import { SandboxClient } from "@insien/sandbox";
import { afterAll, beforeAll, describe, test } from "vitest";
import {
  checkExchange,
  type Exchange,
  volume,
  webhook,
  delivery,
  quota,
  key,
  cleanup,
} from "./exchange.fixture.ts";
import { RecordingServer } from "./recording-server.fixture.ts";

const exchanges: Record<string, Exchange> = {
  "volumes.list": {
    call: (client) => client.volumes.list(),
    request: "GET /api/v1/volumes",
    answer: { items: [volume] },
    result: [{ name: "data" }],
  },
  "volumes.get": {
    call: (client) => client.volumes.get("data"),
    request: "GET /api/v1/volumes/data",
    answer: volume,
    result: { driver: "local" },
  },
  "volumes.delete": {
    call: (client) => client.volumes.delete("data"),
    request: "DELETE /api/v1/volumes/data",
    answer: { deleted: true },
    result: true,
  },
  "webhooks.create": {
    call: (client) => client.webhooks.create({ url: "http://example.org/", events: ["sandbox.*"] }),
    request: "POST /api/v1/webhooks",
    body: createWebhookBody,
    answer: createdWebhook.parse({ ...webhook, secret: "whsec_AAAA" }),
    result: { id: "hook1", secret: "whsec_AAAA" },
  },
  "webhooks.list": {
    call: (client) => client.webhooks.list(),
    request: "GET /api/v1/webhooks",
    answer: { items: [webhook] },
    result: [{ id: "hook1" }],
  },
  "webhooks.update": {
    call: (client) => client.webhooks.update("hook1", { active: false }),
    request: "PATCH /api/v1/webhooks/hook1",
    body: changeWebhookBody,
    sent: { active: false },
    answer: webhook,
    result: { active: true },
  },
  "webhooks.delete": {
    call: (client) => client.webhooks.delete("hook1"),
    request: "DELETE /api/v1/webhooks/hook1",
    answer: { deleted: false },
    result: false,
  },
  "webhooks.test": {
    call: (client) => client.webhooks.test("hook1"),
    request: "POST /api/v1/webhooks/hook1/test",
    answer: delivery,
    result: { state: "delivered", event: { sandboxId: "box1", data: { aB: 1 } } },
  },
  "webhooks.deliveries": {
    call: (client) => Array.fromAsync(client.webhooks.deliveries("hook1", { state: "failed" })),
    request: "GET /api/v1/webhooks/hook1/deliveries?state=failed",
    answer: { items: [delivery] },
    result: [{ responseStatus: 200 }],
  },
  "webhooks.replay": {
    call: (client) => client.webhooks.replay("hook1", "d1"),
    request: "POST /api/v1/webhooks/hook1/deliveries/d1/replay",
    answer: delivery,
    result: { attempts: 1 },
  },
  "keys.create": {
    call: (client) => client.keys.create({ name: "n", ownerId: "own1" }),
    request: "POST /api/v1/keys",
    body: createKeyBody,
    sent: { name: "n", owner_id: "own1" },
    answer: createdKey.parse({ ...key, key: "insien_abc" }),
    result: { key: "insien_abc", ownerId: "own1" },
  },
  "keys.list": {
    call: (client) => client.keys.list(),
    request: "GET /api/v1/keys",
    answer: { items: [key] },
    result: [{ prefix: "insien_a" }],
  },
  "keys.revoke": {
    call: (client) => client.keys.revoke("key1"),
    request: "DELETE /api/v1/keys/key1",
    answer: { revoked: true },
    result: true,
  },
  "quota.get": {
    call: (client) => client.quota.get(),
    request: "GET /api/v1/quota",
    answer: quota,
    result: { limits: { cpu: null, createsPerMinute: 3 }, used: { memoryBytes: 1 } },
  },
  "quota.set": {
    call: (client) => client.quota.set("own1", { cpu: null, memory: "16g", createsPerMinute: 9 }),
    request: "PUT /api/v1/quotas/own1",
    body: quotaBody,
    sent: { cpu: null, memory: "16g", creates_per_minute: 9 },
    answer: quota,
    result: { ownerId: "own1" },
  },
  "maintenance.cleanup, dry": {
    call: (client) => client.maintenance.cleanup({ dryRun: true }),
    request: "GET /api/v1/maintenance/cleanup",
    answer: cleanup,
    result: { dryRun: true, items: [{ kind: "volume" }] },
  },
  "maintenance.cleanup": {
    call: (client) => client.maintenance.cleanup(),
    request: "POST /api/v1/maintenance/cleanup",
    answer: { ...cleanup, dry_run: false },
    result: { dryRun: false },
  },
};

describe("what belongs to the account, on the wire", () => {
  let server: RecordingServer;
  beforeAll(async () => {
    server = await RecordingServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test.each(Object.entries(exchanges))("%s", async (_name, exchange) => {
    await using client = new SandboxClient(server.url, { apiKey: "the-key" });
    await checkExchange(server, client, exchange);
  });
});
