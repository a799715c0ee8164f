import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";
import { acceptUpgrade, refuseUpgrade } from "../web-socket/handshake.ts";
import { WebSocket } from "../web-socket/web-socket.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { WebSocketRpcConnection } from "./web-socket-rpc-connection.ts";

export type WriteNow = (fd: number, bytes: Uint8Array) => number;

/** Serves `/rpc`: each upgraded connection becomes a session of the dispatcher. */
export class RpcServer {
  readonly #dispatcher: Dispatcher;
  readonly #writeNow: WriteNow;
  readonly #onAnswer: () => void;
  #connections = 0;

  constructor(dispatcher: Dispatcher, writeNow: WriteNow, onAnswer: () => void) {
    this.#dispatcher = dispatcher;
    this.#writeNow = writeNow;
    this.#onAnswer = onAnswer;
  }

  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    if (this.#connections >= LIMITS.rpcConnectionsPerSandbox.value) {
      refuseUpgrade(stream, 429, "Too Many Requests");
      return;
    }
    if (!acceptUpgrade(request, stream)) return;
    this.#connections += 1;
    const socket = new WebSocket(stream, {
      maxBytes: LIMITS.rpcFrameBytes.value,
      role: "server",
      head,
      writeNow: this.#writeNow,
    });
    const connection = new WebSocketRpcConnection(socket);
    const session = this.#dispatcher.connect(connection, (frame) => {
      connection.send(frame);
      this.#onAnswer();
    });
    socket.listen({
      message: (data, isBinary) => session.receive(data, isBinary),
      close: () => {
        this.#connections -= 1;
        connection.ended(new InsienError("connection_lost", "the client's connection closed"));
      },
    });
  }
}
