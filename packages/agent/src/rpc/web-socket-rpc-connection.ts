import {
  FRAME_HEADER_BYTES,
  LIMITS,
  writeFrameHeader,
  type FrameKind,
  type RpcNotice,
  type RpcServerFrame,
} from "@insien/protocol";
import { OPCODES } from "../web-socket/frame-reader.ts";
import { WEB_SOCKET_HEADER_BYTES, type WebSocket } from "../web-socket/web-socket.ts";
import type { RpcConnection } from "./connection.ts";

/** Room that must lie before bytes for `sendInPlace`. */
export const HEADROOM_BYTES = WEB_SOCKET_HEADER_BYTES + FRAME_HEADER_BYTES;

export class WebSocketRpcConnection implements RpcConnection {
  readonly #socket: WebSocket;
  readonly #ended = new AbortController();
  #channels = 0;
  #holds = 0;

  constructor(socket: WebSocket) {
    this.#socket = socket;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  get congested(): boolean {
    return this.#socket.pendingBytes > LIMITS.sendBufferBytes.value;
  }

  get pendingBytes(): number {
    return this.#socket.pendingBytes;
  }

  nextChannel(): number {
    this.#channels += 1;
    return this.#channels;
  }

  notify(notice: RpcNotice): void {
    this.send(notice);
  }

  send(frame: RpcServerFrame): void {
    if (!this.signal.aborted) this.#socket.sendText(JSON.stringify(frame));
  }

  sendBytes(kind: FrameKind, channel: number, offset: number, payload: Uint8Array): void {
    const frame = Buffer.allocUnsafe(HEADROOM_BYTES + payload.byteLength);
    frame.set(payload, HEADROOM_BYTES);
    this.sendInPlace(kind, channel, offset, frame);
  }

  /** Like `sendBytes` with no copy: the payload lies behind the first HEADROOM_BYTES of `frame`. */
  sendInPlace(kind: FrameKind, channel: number, offset: number, frame: Buffer): void {
    if (this.signal.aborted) return;
    writeFrameHeader(frame.subarray(WEB_SOCKET_HEADER_BYTES), kind, channel, offset);
    this.#socket.sendInPlace(OPCODES.binary, frame);
  }

  async drained(): Promise<void> {
    this.signal.throwIfAborted();
    while (this.congested) await this.emptied();
  }

  /** Resolves when the kernel has taken everything; rejects when the connection closes. */
  emptied(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.onceDrained(() => {
        if (this.signal.aborted) reject(this.signal.reason);
        else resolve();
      });
    });
  }

  holdReading(condition: Promise<unknown>): void {
    this.#holds += 1;
    this.#socket.pause();
    const release = (): void => {
      this.#holds -= 1;
      if (this.#holds === 0) this.#socket.resume();
    };
    condition.then(release, release);
  }

  /** Called by the server when the socket has closed. */
  ended(reason: Error): void {
    this.#ended.abort(reason);
  }
}
