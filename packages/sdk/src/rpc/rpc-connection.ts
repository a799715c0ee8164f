/** One RPC WebSocket: requests matched to answers by id, and at most one stream of frames. */
import { decodeFrame, encodeFrame, type Frame, type FrameKind } from "@insien/protocol/frames";
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type {
  RpcAnswer,
  RpcAnswers,
  RpcNotice,
  RpcRequests,
  RpcServerFrame,
  RpcType,
} from "@insien/protocol";
import { requestTimeout } from "../deadline.ts";
import {
  connectionLost,
  errorFromBody,
  errorFromClose,
  sandboxError,
  type SandboxError,
} from "../errors.ts";
import type { OpenSocketOptions, Platform, Socket, SocketClose } from "../platform/platform.ts";

export type RpcFields<Type extends RpcType> = Omit<RpcRequests[Type], "id" | "type">;

/** Whoever has this connection to itself gets all that answers no request. */
export interface StreamListener {
  frame(frame: Frame): void;
  notice(notice: RpcNotice): void;
  /** With the server's own reason where it gave one. */
  closed(error: SandboxError): void;
}

export interface CallOptions<Type extends RpcType> {
  signal?: AbortSignal | undefined;
  timeoutMs: number;
  /** Called before any frame that follows the answer is looked at. */
  onAnswer?: (answer: RpcAnswers[Type]) => void;
}

interface PendingCall {
  answered(answer: RpcAnswer): void;
  failed(error: Error): void;
  lost(cause: SandboxError): void;
}

const lost = (message: string): SandboxError => sandboxError("connection_lost", message);

const closeError = (close: SocketClose): SandboxError =>
  errorFromClose(close) ?? lost(`the connection was closed with code ${close.code}`);

export class RpcConnection {
  #socket: Socket | undefined;
  readonly #pending = new Map<number, PendingCall>();
  #nextId = 1;
  #listener: StreamListener | undefined;
  #closedBecause: SandboxError | undefined;
  #paused = false;
  #heard = true;
  #silentBeats = 0;
  readonly #platform: Platform;
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  private constructor(platform: Platform) {
    this.#platform = platform;
  }

  static async open(
    platform: Platform,
    url: string,
    options: Omit<OpenSocketOptions, "handlers">,
  ): Promise<RpcConnection> {
    const connection = new RpcConnection(platform);
    connection.#socket = await platform.openSocket(url, {
      ...options,
      handlers: {
        message: (data) => connection.#receive(data),
        closed: (close) => connection.#close(closeError(close)),
      },
    });
    if (connection.closed) {
      // Nonsense that came together with the handshake ended it before there was a socket to close.
      connection.#socket.close();
      return connection;
    }
    connection.#beginHeartbeat();
    connection.#updateKeepAlive();
    return connection;
  }

  get closed(): boolean {
    return this.#closedBecause !== undefined;
  }

  /** The connection's stream; `undefined` gives it back for short calls. */
  listen(listener: StreamListener | undefined): void {
    this.#listener = listener;
    this.#updateKeepAlive();
  }

  /** Rejects with the sandbox's error, `timeout`, the signal's reason, or `connection_lost`. */
  call<Type extends RpcType>(
    type: Type,
    fields: RpcFields<Type>,
    options: CallOptions<Type>,
  ): Promise<RpcAnswers[Type]> {
    const { signal, timeoutMs, onAnswer } = options;
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#socket === undefined || this.closed) {
        reject(connectionLost(`"${type}"`, false));
        return;
      }
      let timer: ReturnType<typeof setTimeout> | undefined;
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#pending.delete(id);
        this.#updateKeepAlive();
      };
      const failed = (error: Error): void => {
        settle();
        reject(error);
      };
      const onAbort = (): void => failed(signal?.reason as Error);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (timeoutMs > 0)
        timer = setTimeout(() => failed(requestTimeout(type, timeoutMs)), timeoutMs);
      this.#pending.set(id, {
        failed,
        lost: (cause) => failed(cause.retryable ? connectionLost(`"${type}"`, true, cause) : cause),
        answered: (answer) => {
          settle();
          const body = answer as RpcAnswer & RpcAnswers[Type];
          onAnswer?.(body);
          resolve(body);
        },
      });
      this.#updateKeepAlive();
      this.#socket.send(JSON.stringify({ ...fields, id, type }));
    });
  }

  sendBytes(kind: FrameKind, channel: number, payload: Uint8Array): void {
    this.#socket?.send(encodeFrame(kind, channel, 0, payload));
  }

  get bufferedBytes(): number {
    return this.#socket?.bufferedBytes ?? 0;
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#heard = true;
    this.#socket?.resume();
  }

  close(): void {
    this.#socket?.close();
    this.#close(lost("this client closed the connection"));
  }

  #receive(data: string | Uint8Array): void {
    this.#heard = true;
    try {
      if (typeof data === "string") this.#receiveText(JSON.parse(data) as RpcServerFrame);
      else this.#receiveBytes(data);
    } catch (error) {
      // The machine runs code nobody vouches for: nonsense from it ends its connection, not us.
      this.#socket?.close();
      this.#close(lost(`the sandbox sent what cannot be read: ${String(error)}`));
    }
  }

  #receiveBytes(data: Uint8Array): void {
    const frame = decodeFrame(data);
    if (frame !== undefined) this.#listener?.frame(frame);
  }

  #receiveText(message: RpcServerFrame): void {
    if (!("id" in message) || message.id === undefined) {
      if (message.type !== "error") this.#listener?.notice(message as RpcNotice);
      return;
    }
    const pending = this.#pending.get(Number(message.id));
    if (message.type === "error") pending?.failed(errorFromBody(message.error));
    else pending?.answered(message);
  }

  #close(error: SandboxError): void {
    if (this.closed) return;
    this.#closedBecause = error;
    clearInterval(this.#heartbeat);
    for (const pending of this.#pending.values()) pending.lost(error);
    this.#listener?.closed(error);
    this.#listener = undefined;
  }

  /** An idle connection must not keep a finished program running. */
  #updateKeepAlive(): void {
    this.#socket?.keepAlive(this.#pending.size > 0 || this.#listener !== undefined);
  }

  /**
   * Finds out about a peer that vanished without closing: asks when it is silent, then gives up.
   */
  #beginHeartbeat(): void {
    this.#heartbeat = setInterval(() => {
      if (this.#heard || this.#paused) {
        this.#heard = false;
        this.#silentBeats = 0;
        return;
      }
      this.#silentBeats += 1;
      if (this.#silentBeats >= 3) {
        this.#socket?.close();
        this.#close(lost("the sandbox fell silent"));
      } else {
        this.#socket?.send(JSON.stringify({ id: `beat${this.#silentBeats}`, type: "ping" }));
      }
    }, LIMITS.sdkHeartbeatMs.value);
    this.#platform.unref(this.#heartbeat);
  }
}
