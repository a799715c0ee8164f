/** What a request that failed on its way is told as. */
import { connectionLost, sandboxError } from "../errors.ts";
import type { HttpRequest } from "./platform.ts";

const UNREACHED: readonly string[] = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH"];
const START_IT =
  "Start Insien (`insien up -d` on its machine), or correct the address (apiUrl or INSIEN_API_URL).";

/** Before there was an answer. */
export function unreachable(request: HttpRequest, cause: Error & { code?: string }): Error {
  const { host, pathname } = new URL(request.url);
  if (cause.code !== undefined && UNREACHED.includes(cause.code)) {
    return neverSent(`cannot reach ${host} (${cause.code}); is Insien running?`, START_IT, cause);
  }
  if (speaksNoTls(cause)) {
    const hint = "Write http:// where no proxy in front of the server speaks TLS.";
    return neverSent(`${host} does not speak TLS, which https:// asks for`, hint, cause);
  }
  return connectionLost(`${request.method} ${pathname}`, true, cause);
}

/** OpenSSL's number for bytes that are no TLS. */
const speaksNoTls = ({ code, message }: Error & { code?: string }): boolean =>
  code === "ERR_SSL_WRONG_VERSION_NUMBER" ||
  code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" ||
  (code === "EPROTO" && message.includes("SSL routines"));

const neverSent = (message: string, hint: string, cause: unknown): Error =>
  sandboxError("connection_lost", message, { hint, details: { mayHaveHappened: false }, cause });

/** In the middle of the answer. */
export const broken = (request: HttpRequest, cause: unknown): unknown =>
  request.signal?.aborted === true
    ? request.signal.reason
    : connectionLost(`${request.method} ${new URL(request.url).pathname}`, true, cause);
