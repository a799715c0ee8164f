import type { IncomingMessage } from "node:http";
import { InsienError, LIMITS } from "@insien/protocol";
import { mismatch, type Shape } from "../rpc/shape.ts";

/**
 * A control request's body that fits `shape`. `what` names the request in errors. Throws
 * `payload_too_large` or `invalid_request`.
 */
export async function readJsonBody(
  request: IncomingMessage,
  what: string,
  shape: Shape,
): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LIMITS.requestBodyBytes.value) {
      throw new InsienError("payload_too_large", `a ${what} request may hold a mebibyte`);
    }
    chunks.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new InsienError("invalid_request", `a ${what} request must be JSON`);
  }
  const wrong = mismatch(shape, body);
  if (wrong === undefined) return body;
  throw new InsienError("invalid_request", `${what}: ${wrong.field} ${wrong.message}`, {
    details: { field: wrong.field },
  });
}
