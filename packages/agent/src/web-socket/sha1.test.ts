import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { acceptKey } from "./handshake.ts";
import { sha1 } from "./sha1.ts";

test("agrees with the platform's SHA-1 at every padding", () => {
  for (let length = 0; length < 200; length += 1) {
    const text = "ab©1".repeat(length).slice(0, length);
    expect(sha1(text).toString("hex")).toBe(createHash("sha1").update(text).digest("hex"));
  }
});

test("gives the accept key of RFC 6455's example", () => {
  expect(acceptKey("dGhlIHNhbXBsZSBub25jZQ==")).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
});
