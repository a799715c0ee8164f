/** Connections to another node: plain or TLS, as its URL says. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type RequestOptions,
  request as httpRequest,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { type Socket, connect as connectPlain } from "node:net";
import { connect as connectSecure } from "node:tls";
import { LIMITS } from "@insien/protocol";

const isSecure = (url: URL): boolean => url.protocol === "https:";
const connectedEvent = (url: URL): string => (isSecure(url) ? "secureConnect" : "connect");

/** Ends a socket that gets no connection in time: a host that is gone does not even refuse one. */
function boundConnecting(socket: Socket, url: URL): void {
  const waitedMs = LIMITS.nodeConnectMs.value;
  const timer = setTimeout(() => {
    socket.destroy(new Error(`${url.host} took no connection within ${waitedMs} ms`));
  }, waitedMs);
  for (const event of [connectedEvent(url), "close"]) socket.once(event, () => clearTimeout(timer));
}

/** A connection for whatever is to be said on it. Rejects when none comes about. */
export function connectToNode(url: URL, options: { signal: AbortSignal }): Promise<Socket> {
  const port = Number(url.port) || (isSecure(url) ? 443 : 80);
  const target = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port,
    keepAlive: true,
    keepAliveInitialDelay: LIMITS.nodeProbeMs.value,
    noDelay: true,
    signal: options.signal,
  };
  const servername = target.host;
  return new Promise((resolve, reject) => {
    const socket = isSecure(url) ? connectSecure({ ...target, servername }) : connectPlain(target);
    boundConnecting(socket, url);
    socket.once("error", reject);
    socket.once(connectedEvent(url), () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/** Sends plain requests to other nodes on connections that are kept for the next one. */
export class NodeRequests implements Disposable {
  readonly #plain: HttpAgent;
  readonly #secure: HttpsAgent;

  /** `idleMs` must be less than what the other side keeps, so that none is used just as it ends. */
  constructor(options: { idleMs: number }) {
    const kept = {
      keepAlive: true,
      keepAliveMsecs: LIMITS.nodeProbeMs.value,
      timeout: options.idleMs,
    };
    this.#plain = new HttpAgent(kept);
    this.#secure = new HttpsAgent(kept);
  }

  [Symbol.dispose](): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }

  /** As `http.request`; the caller sends the body and listens. */
  open(url: URL, options: RequestOptions): ClientRequest {
    const request = isSecure(url)
      ? httpsRequest(url, { ...options, agent: this.#secure })
      : httpRequest(url, { ...options, agent: this.#plain });
    request.once("socket", (socket) => {
      if (socket.connecting) boundConnecting(socket, url);
    });
    return request;
  }
}
