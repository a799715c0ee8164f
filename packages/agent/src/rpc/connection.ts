import type { FrameKind, RpcAnswers, RpcNotice, RpcRequests, RpcType } from "@insien/protocol";

/** One client's RPC WebSocket, as the capabilities of the agent see it. */
export interface RpcConnection {
  /** Aborted when the connection closes; everything opened for it ends then. */
  readonly signal: AbortSignal;
  /** A number no other stream of this connection has. */
  nextChannel(): number;
  notify(notice: RpcNotice): void;
  /** Sends one binary frame. The payload is not kept after the call returns. */
  sendBytes(kind: FrameKind, channel: number, offset: number, payload: Uint8Array): void;
  /** True while more than `sendBufferBytes` wait for the client to read them. */
  readonly congested: boolean;
  /** Resolves when it is no longer congested; rejects when the connection closes. */
  drained(): Promise<void>;
  /** Reads no further frames until `condition` settles: how a sender of input is made to wait. */
  holdReading(condition: Promise<unknown>): void;
}

/** What one capability (processes, files, terminals ...) answers to. */
export type RpcHandlers<Types extends RpcType> = {
  [Type in Types]: (
    request: RpcRequests[Type],
    connection: RpcConnection,
  ) => Promise<RpcAnswers[Type]> | RpcAnswers[Type];
};
