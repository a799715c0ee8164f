/**
 * A sandbox at the other end of sockets that never leave the process: tests say what it answers.
 */
import { encodeFrame, type FrameKind } from "@insien/protocol/frames";
import type { RpcNotice, RpcRequest } from "@insien/protocol";
import { sandboxError } from "../errors.ts";
import type { OpenSocketOptions, Platform, Socket } from "../platform/platform.ts";
import { RpcClient } from "./rpc-client.ts";
import { RpcConnection } from "./rpc-connection.ts";

export class ScriptedSocket implements Socket {
  readonly bufferedBytes = 0;
  readonly requests: RpcRequest[] = [];
  paused = false;
  open = true;
  readonly #sandbox: ScriptedSandbox;
  readonly #options: OpenSocketOptions;

  constructor(sandbox: ScriptedSandbox, options: OpenSocketOptions) {
    this.#sandbox = sandbox;
    this.#options = options;
  }

  send(data: string | Uint8Array): void {
    if (typeof data !== "string") return;
    const request = JSON.parse(data) as RpcRequest;
    this.requests.push(request);
    this.#sandbox.asked(request, this);
  }

  answer(request: RpcRequest, body: object): void {
    this.text({ ...body, id: request.id, type: `${request.type}Response` });
  }

  notice(notice: RpcNotice): void {
    this.text(notice);
  }

  text(message: unknown): void {
    this.#options.handlers.message(JSON.stringify(message));
  }

  bytes(kind: FrameKind, offset: number, text: string): void {
    const payload = new TextEncoder().encode(text);
    this.#options.handlers.message(encodeFrame(kind, 1, offset, payload));
  }

  /** Breaks the connection, as a killed orchestrator does. */
  cut(reason = ""): void {
    if (!this.open) return;
    this.open = false;
    this.#options.handlers.closed({ code: 1006, reason });
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  keepAlive(): void {}

  close(): void {
    this.cut();
  }
}

export class ScriptedSandbox {
  readonly sockets: ScriptedSocket[] = [];
  /** While set, connecting fails with this code. */
  refusal: string | undefined;
  asked: (request: RpcRequest, socket: ScriptedSocket) => void = () => undefined;

  get openSockets(): ScriptedSocket[] {
    return this.sockets.filter((socket) => socket.open);
  }

  client(options: { reconnectTimeoutMs?: number } = {}): RpcClient {
    const { reconnectTimeoutMs = 5_000 } = options;
    const open = (): Promise<RpcConnection> =>
      RpcConnection.open(this.#platform(), "ws://sandbox", { apiKey: "key" });
    return new RpcClient({ open, requestTimeoutMs: 2_000, reconnectTimeoutMs });
  }

  #platform(): Platform {
    return {
      environment: () => undefined,
      openSocket: async (_url, options) => {
        await Promise.resolve();
        if (this.refusal !== undefined) throw sandboxError(this.refusal, "refused by the script");
        const socket = new ScriptedSocket(this, options);
        this.sockets.push(socket);
        return socket;
      },
      sendHttp: () => Promise.reject(new Error("no HTTP here")),
      unref: (timer) => timer.unref(),
      seesRefusals: true,
    };
  }
}
