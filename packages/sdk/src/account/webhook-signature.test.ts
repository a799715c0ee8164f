import { createHmac, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { verifyWebhook } from "./webhook-signature.ts";

const now = new Date("2026-01-02T03:04:05Z");
const timestamp = String(now.getTime() / 1000);
const secret = `whsec_${randomBytes(32).toString("base64")}`;
const payload = JSON.stringify({
  type: "sandbox.created",
  timestamp: now.toISOString(),
  sequence: 7,
  sandbox_id: "abc1",
  data: { some_key: "é" },
});

function signature(of: string, by = secret, at = timestamp): string {
  const key = Buffer.from(by.replace("whsec_", ""), "base64");
  return `v1,${createHmac("sha256", key).update(`msg1.${at}.${of}`).digest("base64")}`;
}
const headersOf = (signatures: string, at = timestamp) => ({
  "Webhook-Id": "msg1",
  "webhook-timestamp": at,
  "webhook-signature": signatures,
});

describe("verifyWebhook", () => {
  test("gives the event of a message that was signed with the secret", async () => {
    const headers = headersOf(signature(payload));
    const expected = {
      type: "sandbox.created",
      timestamp: now,
      sequence: 7,
      sandboxId: "abc1",
      data: { someKey: "é" },
    };
    expect(await verifyWebhook(payload, headers, secret, { now })).toEqual(expected);
    const bytes = new TextEncoder().encode(payload);
    expect(await verifyWebhook(bytes, new Headers(headers), secret, { now })).toEqual(expected);
  });

  test("takes the published example of Standard Webhooks", async () => {
    // The last check is of the event's own fields: the signature was right by then.
    const example = verifyWebhook(
      '{"test": 2432232314}',
      {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
      },
      "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
      { now: new Date(1_614_265_330_000) },
    );
    await expect(example).rejects.toMatchObject({ code: "invalid_answer" });
  });

  test("one right signature among several is enough, as when a secret is changed", async () => {
    const old = signature(payload, `whsec_${randomBytes(32).toString("base64")}`);
    const headers = headersOf(`v1a,AAAA ${old} ${signature(payload)}`);
    expect(await verifyWebhook(payload, headers, secret, { now })).toMatchObject({ sequence: 7 });
  });

  test.each([
    [
      "another body",
      payload.replace("7", "8"),
      headersOf(signature(payload)),
      "not by this secret",
    ],
    ["another secret", payload, headersOf(signature(payload, "whsec_AAAA")), "not by this secret"],
    ["another time", payload, headersOf(signature(payload), "1767323000"), "not by this secret"],
    [
      "no signature that can be read",
      payload,
      headersOf("v1,%%% v2,x nonsense"),
      "not by this secret",
    ],
    ["a time that is none", payload, headersOf(signature(payload), "soon"), "no number of seconds"],
    ["no headers", payload, {}, "it has no header webhook-id"],
  ])("%s is refused", async (_name, body, headers, reason) => {
    const error: unknown = await verifyWebhook(body, headers, secret, {
      now,
      toleranceSeconds: 100_000,
    }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "forbidden" });
    expect(String(error)).toContain(reason);
  });

  test.each([-301, 301])("a message %d s away is refused, however well it is signed", async (s) => {
    const headers = headersOf(signature(payload));
    const later = new Date(now.getTime() + s * 1000);
    const late = verifyWebhook(payload, headers, secret, { now: later });
    await expect(late).rejects.toThrow("300 s are allowed");
  });

  test("a secret that is none is the caller's mistake", async () => {
    const headers = headersOf(signature(payload));
    const refused = verifyWebhook(payload, headers, "whsec_%", { now });
    await expect(refused).rejects.toMatchObject({ code: "invalid_request" });
  });
});
