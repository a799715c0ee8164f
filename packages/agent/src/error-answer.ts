import type { ServerResponse } from "node:http";
import { InsienError } from "@insien/protocol";

/** Any thrown thing as an error of the table; what is not one already is a defect of ours. */
export function asInsienError(error: unknown): InsienError {
  if (error instanceof InsienError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new InsienError("internal", `the agent failed: ${reason}`, { cause: error });
}

/** Answers `{ error: ErrorBody }`, or cuts the connection when an answer is already under way. */
export function answerError(response: ServerResponse, thrown: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const error = asInsienError(thrown);
  const body = JSON.stringify({ error: error.toBody() });
  response.writeHead(error.status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(response.req.method === "HEAD" ? undefined : body);
}
