import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { LIMITS } from "@insien/protocol";
import { UnreachableAddress, isPublicAddress, lookupPublic } from "./public-address.ts";

export interface PostOptions {
  headers: Record<string, string>;
  body: string;
  /** Also to addresses of this host and its networks. */
  allowPrivate: boolean;
  signal: AbortSignal;
}

/**
 * Sends a body once and gives the answer's status. What the answer says is read past, within bounds,
 * and where it redirects to is not followed.
 */
export async function post(target: string, options: PostOptions): Promise<number> {
  const url = new URL(target);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // An address is dialled without being looked up.
  if (!options.allowPrivate && isIP(host) !== 0 && !isPublicAddress(host))
    throw new UnreachableAddress(host);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const send = url.protocol === "https:" ? requestHttps : requestHttp;
  const request = send(url, {
    method: "POST",
    // A kept connection would be to an address that was checked for another delivery.
    agent: false,
    signal: options.signal,
    headers: { ...options.headers, "content-length": Buffer.byteLength(options.body) },
    ...(options.allowPrivate ? {} : { lookup: lookupPublic }),
  });
  let status: number | undefined;
  request.on("error", (error) => (status === undefined ? reject(error) : resolve(status)));
  request.once("response", (response) => {
    status = response.statusCode ?? 0;
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > LIMITS.webhookAnswerBytes.value) request.destroy();
    });
    // Cut off or not, its status was said.
    response.on("error", () => undefined);
    response.once("close", () => resolve(response.statusCode ?? 0));
  });
  request.end(options.body);
  return promise;
}

/** For the owner of the webhook: nothing of how this host is connected. */
export function explain(error: unknown, options: { timedOut: boolean }): string {
  if (options.timedOut) return `No answer within ${LIMITS.webhookAttemptMs.value / 1000} seconds`;
  if (error instanceof UnreachableAddress)
    return "The host name is unknown, or its address is private: only public addresses are sent to";
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "ECONNREFUSED") return "The connection was refused";
  if (code === "ECONNRESET" || code === "EPIPE")
    return "The connection was closed before an answer";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "The host name is unknown";
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|TLS|SSL/.test(code))
    return "The server's certificate was not accepted, or it speaks no TLS";
  if (code.startsWith("HPE_")) return "The answer was no HTTP";
  return "The server could not be reached";
}
