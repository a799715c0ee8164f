/** Signatures as standardwebhooks.com has them: HMAC-SHA256 over id, moment and body. */
import { createHmac } from "node:crypto";

const PREFIX = "whsec_";

export interface SignedMessage {
  id: string;
  /** In seconds since 1970. */
  timestamp: number;
  body: string;
}

export function signatureHeaders(
  secret: string,
  { id, timestamp, body }: SignedMessage,
): Record<string, string> {
  const key = Buffer.from(secret.slice(PREFIX.length), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
  };
}
