/** What a request that failed on its way is told as. */
import { connectionLost, sandboxError } from "../errors.ts";
import type { HttpRequest } from "./platform.ts";

/** Before there was an answer. */
export function unreachable(request: HttpRequest, cause: Error & { code?: string }): Error {
  const { host, pathname } = new URL(request.url);
  if (cause.code === "ECONNREFUSED" || cause.code === "ENOTFOUND") {
    return sandboxError(
      "connection_lost",
      `cannot reach ${host} (${cause.code}); is Insien running?`,
      {
        details: { mayHaveHappened: false },
        cause,
      },
    );
  }
  return connectionLost(`${request.method} ${pathname}`, true, cause);
}

/** In the middle of the answer. */
export const broken = (request: HttpRequest, cause: unknown): unknown =>
  request.signal?.aborted === true
    ? request.signal.reason
    : connectionLost(`${request.method} ${new URL(request.url).pathname}`, true, cause);
