import { once } from "node:events";
import type {
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  RequestOptions,
} from "node:http";
import { pipeline } from "node:stream/promises";
import { InsienError, type SandboxId } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Nodes, Place } from "../app/application.ts";
import { nodeSilent, shownNode } from "../app/node-directory.ts";
import type { Principal } from "../app/principal.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import { AGENT_URL_HEADER } from "./agent-urls.ts";
import { clientGone } from "./door.ts";
import { NodeRequests, connectToNode } from "./node-connection.ts";

/** Names the node that a request is meant for. Whoever gets it answers, and sends it no further. */
const NODE_HEADER = "x-insien-node";

/** What holds for one connection only, and what the next node says for itself. */
const OF_THIS_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
  "host",
  "date",
]);
const OF_THE_BODY = new Set(["content-length", "content-type", "content-encoding"]);

/** A place that gave a sign of life lately. */
export interface LivePlace extends Place {
  url: string;
}

export interface HandOver {
  place: LivePlace;
  sandboxId: SandboxId;
  /** Where this node's clients find the agent: the answer may name it. */
  agentUrl: string;
  /** The body is not passed on, so that this node can still answer when the other one does not. */
  withoutBody: boolean;
}

/**
 * Passes requests about another node's sandbox to that node, with the caller's own credentials, and
 * its answer back. Nothing is decided here but where to go.
 */
export class NodeGateway implements Disposable {
  readonly #nodes: Nodes;
  readonly #requests: NodeRequests;

  constructor(nodes: Nodes, options: { keepAliveMs: number }) {
    this.#nodes = nodes;
    this.#requests = new NodeRequests({ idleMs: options.keepAliveMs / 2 });
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
  }

  /** The node to ask, or `undefined` when it is this one. */
  async locate(
    principal: Principal,
    id: SandboxId,
    headers: IncomingHttpHeaders,
  ): Promise<Place | undefined> {
    const meant = headers[NODE_HEADER];
    if (meant === undefined) return this.#nodes.locate(principal, id);
    if (meant === this.#nodes.id) return undefined;
    const [here, there] = [shownNode(this.#nodes.id), shownNode(String(meant))];
    throw new InsienError(
      "agent_unreachable",
      `Sandbox ${id} runs on node ${there}, but its address leads to node ${here}: ` +
        "each node's INSIEN_NODE_URL must lead to that node",
    );
  }

  /** Answers the request with the other node's answer. Throws when that one gives none. */
  async handOver(
    request: FastifyRequest,
    reply: FastifyReply,
    to: HandOver,
  ): Promise<FastifyReply> {
    const answer = await this.#answerOf(request, to, clientGone(reply));
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value === undefined || OF_THIS_HOP.has(name) || reply.hasHeader(name)) continue;
      void reply.header(name, value);
    }
    const status = answer.statusCode ?? 502;
    // Who refuses has stopped reading; the rest of the body must not hold its connection.
    if (status >= 400 && !request.raw.complete) void reply.header("connection", "close");
    return reply.code(status).send(answer);
  }

  /** The other node in the agent's place: it takes the same WebSocket request and splices it on. */
  connector(place: LivePlace, sandboxId: SandboxId): Pick<AgentConnector, "take" | "lost"> {
    const lost = new AbortController();
    return {
      lost: lost.signal,
      take: async ({ signal = lost.signal } = {}) => {
        const stream = await connectToNode(new URL(place.url), { signal }).catch(
          (error: unknown) => {
            throw this.#unreached(place, sandboxId, error);
          },
        );
        const onEnd = () => lost.abort(broken(place, sandboxId));
        stream.once("end", onEnd).once("close", onEnd);
        return stream;
      },
    };
  }

  /**
   * A request to another node about a sandbox of its; the caller sends the body and listens. What goes
   * wrong on the way is told as an error of the table, the first one of the request's error events.
   */
  open(place: LivePlace, sandboxId: SandboxId, options: RequestOptions): ClientRequest {
    const toNode = this.#requests.open(new URL(place.url), options);
    let isConnected = false;
    toNode.once("socket", (socket) => {
      isConnected = !socket.connecting;
      socket.once("connect", () => (isConnected = true));
    });
    toNode.prependOnceListener("error", (cause) => {
      const error = isConnected
        ? broken(place, sandboxId, cause)
        : this.#unreached(place, sandboxId, cause);
      toNode.emit("error", error);
    });
    return toNode;
  }

  /** Says that a request is meant for this node and none else. */
  nodeHeaders(place: Place): Record<string, string> {
    return { [NODE_HEADER]: place.nodeId };
  }

  /** What a WebSocket request to another node carries besides its own headers. */
  upgradeHeaders(place: Place, client: { key: string; address: string }): Record<string, string> {
    return {
      [NODE_HEADER]: place.nodeId,
      "x-api-key": client.key,
      "x-forwarded-for": client.address,
    };
  }

  async #answerOf(
    request: FastifyRequest,
    { place, sandboxId, agentUrl, withoutBody }: HandOver,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    // A request may name a host in its first line; it goes nowhere but to the node.
    const { pathname, search } = new URL(request.raw.url ?? "/", place.url);
    const headers = {
      ...passedHeaders(request.headers, { withoutBody }),
      [NODE_HEADER]: place.nodeId,
      [AGENT_URL_HEADER]: agentUrl,
      "x-request-id": request.id,
      "x-forwarded-for": request.ip,
    };
    const options = { method: request.method, path: `${pathname}${search}`, headers, signal };
    const toNode = this.#requests.open(new URL(place.url), options);
    let isConnected = false;
    toNode.once("socket", (socket) => {
      isConnected = !socket.connecting;
      socket.once("connect", () => (isConnected = true));
    });
    const answered = once(toNode, "response");
    toNode.on("error", () => undefined);
    if (withoutBody || !hasBody(request.headers)) toNode.end();
    // A failure on either side ends both, and is told by the request's own error event.
    else pipeline(request.raw, toNode).catch(() => toNode.destroy());
    try {
      const [answer] = await answered;
      return answer as IncomingMessage;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw isConnected
        ? broken(place, sandboxId, error)
        : this.#unreached(place, sandboxId, error);
    }
  }

  #unreached(place: Place, sandboxId: SandboxId, cause: unknown): InsienError {
    this.#nodes.forget(place.nodeId);
    return nodeSilent(sandboxId, place.nodeId, cause);
  }
}

function broken(place: Place, sandboxId: SandboxId, cause?: unknown): InsienError {
  const message = `The connection to node ${shownNode(place.nodeId)}, which holds sandbox ${sandboxId}, broke`;
  return new InsienError("connection_lost", message, cause === undefined ? {} : { cause });
}

const hasBody = (headers: IncomingHttpHeaders): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";

function passedHeaders(
  headers: IncomingHttpHeaders,
  options: { withoutBody: boolean },
): IncomingHttpHeaders {
  const isPassed = (name: string) =>
    !OF_THIS_HOP.has(name) && !(options.withoutBody && OF_THE_BODY.has(name));
  const passed = Object.fromEntries(Object.entries(headers).filter(([name]) => isPassed(name)));
  // Without it, Node sends no body with the methods that rarely have one.
  const isChunked = !options.withoutBody && headers["transfer-encoding"] !== undefined;
  return isChunked ? { ...passed, "transfer-encoding": "chunked" } : passed;
}
