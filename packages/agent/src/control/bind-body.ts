import type { IncomingMessage } from "node:http";
import { InsienError, LIMITS, type BindRequest } from "@insien/protocol";
import { mismatch, type Shape } from "../rpc/shape.ts";

const SHAPE: Shape = {
  type: "object",
  required: ["sandboxId", "env"],
  properties: {
    sandboxId: { type: "string" },
    env: {
      type: "object",
      propertyNames: { type: "string", pattern: "^[^=\\0]+$" },
      additionalProperties: { type: "string", pattern: "^[^\\0]*$" },
    },
    hostname: { type: "string", minLength: 1, maxLength: 64 },
  },
};

/** Throws `payload_too_large` or `invalid_request`. */
export async function readBindRequest(request: IncomingMessage): Promise<BindRequest> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > LIMITS.requestBodyBytes.value) {
      throw new InsienError("payload_too_large", "a bind request may hold a mebibyte");
    }
    chunks.push(chunk);
  }
  let body: unknown;
  try {
    body = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new InsienError("invalid_request", "a bind request must be JSON");
  }
  const wrong = mismatch(SHAPE, body);
  if (wrong === undefined) return body as BindRequest;
  throw new InsienError("invalid_request", `bind: ${wrong.field} ${wrong.message}`, {
    details: { field: wrong.field },
  });
}
