import type { IncomingMessage } from "node:http";
import { InsienError, LIMITS, type MainCommand, type MainControl } from "@insien/protocol";
import type { Shape } from "../rpc/shape.ts";
import { readJsonBody } from "./json-body.ts";

export const MAIN_SHAPE: Shape = {
  type: "object",
  required: ["argv", "maxRetries"],
  properties: {
    argv: { type: "array", items: { type: "string", pattern: "^[^\\0]*$" } },
    maxRetries: { type: "integer", minimum: 0, maximum: LIMITS.mainRetriesMax.value },
  },
};

const CONTROL_SHAPE: Shape = {
  type: "object",
  required: ["action"],
  properties: {
    action: { type: "string", enum: ["start", "restart", "stop"] },
    main: MAIN_SHAPE,
    graceMs: { type: "integer", minimum: 0, maximum: LIMITS.mainGraceMsMax.value },
  },
};

/** Throws `invalid_request` for a list of words that names no program. */
export function requireProgram(field: string, { argv }: MainCommand): void {
  if (argv[0] !== undefined && argv[0] !== "") return;
  throw new InsienError("invalid_request", `${field} must begin with a program`, {
    details: { field },
  });
}

type Unchecked =
  | Exclude<MainControl, { action: "start" }>
  | { action: "start"; main?: MainCommand };

/** Throws `payload_too_large` or `invalid_request`. */
export async function readMainControl(request: IncomingMessage): Promise<MainControl> {
  const body = (await readJsonBody(request, "main", CONTROL_SHAPE)) as Unchecked;
  if (body.action !== "start") return body;
  const { action, main } = body;
  if (main === undefined) {
    throw new InsienError("invalid_request", "main: a start needs the command as main", {
      details: { field: "main" },
    });
  }
  requireProgram("main: main.argv", main);
  return { action, main };
}
