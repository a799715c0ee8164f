import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { LIMITS, LINE_WEBSOCKET_PROTOCOL } from "@insien/protocol";
import { WebSocketServer, createWebSocketStream } from "ws";
import { asInsienError } from "../http/error-answer.ts";
import { CLOSE_CODES, closeReason } from "./close-frame.ts";

/** Takes the lines of agents that dial by WebSocket, because no unix socket reaches them. */
export interface LineDoor {
  /** Parks the stream with its machine's line. Throws `unauthorized` when the token opens none. */
  accept(machineId: string, token: string, stream: Duplex): Promise<void>;
}

/** What Node's server gives of a request to upgrade. */
export interface UpgradeRequest {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

/** What one message of a line may hold: whatever an agent writes at once, an RPC frame at most. */
const MESSAGE_BYTES = 2 * LIMITS.rpcFrameBytes.value;

/** Carries a line's byte stream in binary WebSocket messages. */
export class LineCarrier {
  readonly #door: LineDoor;
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: true,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES,
    handleProtocols: (offered) =>
      offered.has(LINE_WEBSOCKET_PROTOCOL) ? LINE_WEBSOCKET_PROTOCOL : false,
  });

  constructor(door: LineDoor) {
    this.#door = door;
  }

  accept({ request, socket, head }: UpgradeRequest, machineId: string, token: string): void {
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const stream = createWebSocketStream(webSocket);
      // Whoever takes the stream has its own handler; until then an error is just its end.
      stream.on("error", () => undefined);
      this.#door.accept(machineId, token, stream).catch((error: unknown) => {
        const reason = asInsienError(error);
        webSocket.close(CLOSE_CODES.policyViolation, closeReason(reason));
      });
    });
  }

  /** Agents dial again, so there is nothing to wait for. */
  close(): void {
    for (const webSocket of this.#server.clients) webSocket.terminate();
  }
}
