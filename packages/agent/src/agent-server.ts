import { Server, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { AGENT_PATHS, InsienError } from "@insien/protocol";
import { answerError } from "./error-answer.ts";

export interface Routes {
  /** By exact path. */
  requests: Readonly<
    Record<string, (request: IncomingMessage, response: ServerResponse) => unknown>
  >;
  /** By the path's first segment, such as `/ports`. */
  upgrades: Readonly<Record<string, StreamHandler>>;
  connect: StreamHandler;
}

type StreamHandler = (request: IncomingMessage, stream: Duplex, head: Buffer) => unknown;

/** The HTTP server that is fed with line connections. A parked one may wait for ever. */
export function makeAgentServer(routes: Routes): Server {
  const server = new Server({
    headersTimeout: 0,
    requestTimeout: 0,
    keepAliveTimeout: 0,
    connectionsCheckingInterval: 2 ** 31 - 1,
  });
  server.on("request", (request, response) => void answer(routes, request, response));
  server.on("connect", routes.connect);
  server.on("upgrade", (request, stream, head) => {
    const path = pathOf(request);
    const first = /^\/[^/]*/.exec(path)?.[0] ?? path;
    const handle = routes.upgrades[first];
    stream.on("error", () => stream.destroy());
    if (handle === undefined) {
      stream.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    } else {
      handle(request, stream, head);
    }
  });
  return server;
}

async function answer(
  routes: Routes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const path = pathOf(request);
    const handle = routes.requests[path];
    if (handle === undefined) {
      const known = Object.values(AGENT_PATHS).join(", ");
      throw new InsienError("route_not_found", `the agent serves ${known}, not ${path}`);
    }
    await handle(request, response);
  } catch (error) {
    request.resume();
    answerError(response, error);
  }
}

const pathOf = (request: IncomingMessage): string => (request.url ?? "/").split("?", 1)[0] ?? "/";
