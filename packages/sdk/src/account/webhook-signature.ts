/** For whoever receives webhooks: is this from Insien? As Standard Webhooks has it. */
import { sandboxError } from "../errors.ts";
import {
  facts,
  answerOf,
  date,
  number,
  object,
  optional,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const SECRET_PREFIX = "whsec_";
const SIGNATURE_VERSION = "v1";
const TOLERANCE_SECONDS = 300;

const webhookEvent = object({
  type: text,
  timestamp: date,
  sequence: optional(number()),
  sandboxId: optional(text),
  data: facts,
});
export type WebhookEvent = ValueOf<typeof webhookEvent>;

/** What a request's headers are in Node, in a browser, or in a plain object. */
export type WebhookHeaders =
  | { get(name: string): string | null }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyWebhookOptions {
  /** How old, or how far in the future, a message may be; 300 s by default. */
  toleranceSeconds?: number | undefined;
  /** What time it is; now, by default. */
  now?: Date | undefined;
}

/**
 * The event that a webhook brought. `payload` is the body exactly as it came, before any parsing; the
 * secret is what `webhooks.create` gave. Throws `forbidden` when the message was not signed with the
 * secret, or is too old: a message that somebody recorded is worth nothing later.
 */
export async function verifyWebhook(
  payload: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string,
  options: VerifyWebhookOptions = {},
): Promise<WebhookEvent> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  const signatures = header(headers, "webhook-signature");
  const { toleranceSeconds = TOLERANCE_SECONDS, now = new Date() } = options;
  const ageSeconds = now.getTime() / 1000 - Number(timestamp);
  if (!/^\d{1,12}$/.test(timestamp)) throw refused("its webhook-timestamp is no number of seconds");
  if (Math.abs(ageSeconds) > toleranceSeconds) {
    throw refused(`it is ${Math.round(ageSeconds)} s old; ${toleranceSeconds} s are allowed`);
  }
  const body = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.byteLength + body.byteLength);
  signed.set(head);
  signed.set(body, head.byteLength);
  if (!(await isSigned(signed, signatures, secret))) {
    throw refused("its signature is not by this secret");
  }
  const what = `webhook ${id}`;
  try {
    return answerOf(webhookEvent, JSON.parse(new TextDecoder().decode(body)), what);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw sandboxError("invalid_answer", `${what} is no JSON`, { cause: error });
  }
}

const refused = (reason: string): Error =>
  sandboxError("forbidden", `the webhook is refused: ${reason}`, {
    hint: "Pass the body as it came, the request's headers, and the secret of this webhook.",
  });

function header(headers: WebhookHeaders, name: string): string {
  const value =
    typeof headers["get"] === "function"
      ? (headers as { get(name: string): string | null }).get(name)
      : plainHeader(headers as Record<string, string | readonly string[] | undefined>, name);
  if (!value) throw refused(`it has no header ${name}`);
  return value;
}

function plainHeader(
  headers: Record<string, string | readonly string[] | undefined>,
  name: string,
): string | undefined {
  const found = Object.keys(headers).find((key) => key.toLowerCase() === name);
  const value = found === undefined ? undefined : headers[found];
  return typeof value === "string" ? value : value?.[0];
}

/** WebCrypto compares in a time that says nothing of how much of a signature was right. */
async function isSigned(
  signed: Uint8Array<ArrayBuffer>,
  signatures: string,
  secret: string,
): Promise<boolean> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secretBytes(secret), algorithm, false, [
    "verify",
  ]);
  for (const item of signatures.split(" ")) {
    const [version, signature = ""] = item.split(",");
    const bytes = version === SIGNATURE_VERSION ? fromBase64(signature) : undefined;
    if (bytes !== undefined && (await crypto.subtle.verify("HMAC", key, bytes, signed)))
      return true;
  }
  return false;
}

function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const bytes = fromBase64(
    secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret,
  );
  if (bytes !== undefined && bytes.byteLength > 0) return bytes;
  throw sandboxError("invalid_request", "secret must be the text that webhooks.create gave", {
    details: { field: "secret" },
  });
}

function fromBase64(encoded: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
