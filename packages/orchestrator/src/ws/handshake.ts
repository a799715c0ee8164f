import { createHash } from "node:crypto";
import { type IncomingHttpHeaders, request as httpRequest } from "node:http";
import type { Duplex } from "node:stream";
import { InsienError } from "@insien/protocol";
import { agentRefusal } from "../http/agent-request.ts";
import type { OfferedProtocols } from "../http/authentication.ts";

const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** What the client's request to upgrade said. */
export interface ClientHandshake {
  headers: IncomingHttpHeaders;
  offered: OfferedProtocols;
}

/**
 * Asks the agent to upgrade, on a parked connection, with the client's own key: the frames that
 * follow are between the two of them. Extensions are left out, so none is ever agreed on.
 */
export function upgradeAgent(
  stream: Duplex,
  path: string,
  { headers: client, offered }: ClientHandshake,
  options: { timeoutMs: number; signal: AbortSignal; headers?: Record<string, string> },
): Promise<{ protocol: string | undefined; agent: Duplex; head: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      path,
      createConnection: () => stream,
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]),
      headers: {
        host: "agent",
        connection: "Upgrade",
        upgrade: "websocket",
        ...options.headers,
        "sec-websocket-key": client["sec-websocket-key"] ?? "",
        "sec-websocket-version": client["sec-websocket-version"] ?? "13",
        ...(offered.others.length === 0
          ? {}
          : { "sec-websocket-protocol": offered.others.join(", ") }),
      },
    });
    request.once("upgrade", (response, agent, head) => {
      resolve({ protocol: response.headers["sec-websocket-protocol"], agent, head });
    });
    request.once("response", (response) => {
      agentRefusal(response).then(reject, reject);
    });
    request.once("error", (error) => {
      const reason: unknown = options.signal.aborted ? options.signal.reason : undefined;
      const broken = new InsienError("agent_unreachable", "The agent did not answer the upgrade", {
        cause: error,
      });
      reject(reason instanceof InsienError ? reason : broken);
    });
    request.end();
  });
}

/**
 * The 101 for the client. A browser takes only an answer that names one of the subprotocols it
 * offered, so where the agent chose none, the first offer is chosen; the one that holds the key is
 * repeated only where it is the sole one.
 */
export function switchingProtocols(
  { headers: client, offered }: ClientHandshake,
  chosenByAgent: string | undefined,
): string {
  const protocol = chosenByAgent ?? offered.others[0] ?? offered.keyProtocol;
  const accept = createHash("sha1")
    .update((client["sec-websocket-key"] ?? "") + WEBSOCKET_GUID)
    .digest("base64");
  const lines = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${accept}`,
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n`;
}
