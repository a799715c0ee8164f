import type { IncomingHttpHeaders } from "node:http";

/** What of a request says by which name its sender reaches this server. */
export interface Reached {
  headers: IncomingHttpHeaders;
}

/** Where the agent is found by the clients of the node that passed a request on. */
export const AGENT_URL_HEADER = "x-insien-agent-url";

export interface AgentUrlSource {
  /** INSIEN_PUBLIC_URL: where clients reach the main door, through whatever stands before it. */
  publicUrl: string | undefined;
  /** The port of the second door, or of the main one when there is no second. */
  webSocketPort: () => number;
}

/**
 * The RPC WebSocket's address as the sender of this request can reach it. A public URL names the
 * one way in, so its own port is kept; without one, the host that the request came to and the
 * WebSocket port. Where another node passed the request on, that node's word holds, because its
 * name and ports are those that the client knows.
 */
export function agentUrl(source: AgentUrlSource, reached: Reached, sandboxId: string): string {
  const passed = reached.headers[AGENT_URL_HEADER];
  if (typeof passed === "string") return passed;
  if (source.publicUrl !== undefined) {
    const base = source.publicUrl.replace(/^http/, "ws").replace(/\/+$/, "");
    return `${base}/agent/${sandboxId}`;
  }
  return `ws://${hostnameFrom(reached)}:${source.webSocketPort()}/agent/${sandboxId}`;
}

/** The name by which the sender of a request reached this server, without a port. */
export function hostnameFrom({ headers }: Reached): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d+)?$/.exec(headers.host ?? "");
  return match?.[1] ?? "localhost";
}
