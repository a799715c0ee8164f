import type { IncomingMessage } from "node:http";
import type { BindRequest } from "@insien/protocol";
import type { Shape } from "../rpc/shape.ts";
import { readJsonBody } from "./json-body.ts";
import { MAIN_SHAPE, requireProgram } from "./main-body.ts";

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
    main: MAIN_SHAPE,
  },
};

/** Throws `payload_too_large` or `invalid_request`. */
export async function readBindRequest(request: IncomingMessage): Promise<BindRequest> {
  const body = (await readJsonBody(request, "bind", SHAPE)) as BindRequest;
  if (body.main !== undefined) requireProgram("bind: main.argv", body.main);
  return body;
}
