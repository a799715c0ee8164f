import {
  decodeFrame,
  encodeFrame,
  type Frame,
  type RpcAnswers,
  type RpcError,
  type RpcNotice,
  type RpcRequests,
  type RpcType,
} from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import type { WebSocket } from "ws";

type Exit = Extract<RpcNotice, { type: "exit" }>;
type Dropped = Extract<RpcNotice, { type: "dropped" }>;

/** An RPC client that remembers all that came. */
export class RpcClient {
  readonly socket: WebSocket;
  readonly frames: Frame[] = [];
  readonly notices: RpcNotice[] = [];
  /** Error frames that answer no request. */
  readonly errors: RpcError[] = [];
  readonly #pending = new Map<unknown, (answer: unknown) => void>();
  #id = 0;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data: Buffer, isBinary) => this.#receive(data, isBinary));
  }

  /** Rejects with the error frame. */
  async call<Type extends RpcType>(
    type: Type,
    fields: Omit<RpcRequests[Type], "id" | "type">,
  ): Promise<RpcAnswers[Type]> {
    const answer = await this.send({ ...fields, type, id: ++this.#id });
    if ((answer as { type: string }).type === "error") throw answer;
    return answer as RpcAnswers[Type];
  }

  /** Sends any object and gives the frame that comes back with its id. */
  send(request: { id: string | number; type: string }): Promise<unknown> {
    return new Promise((resolve) => {
      this.#pending.set(request.id, resolve);
      this.socket.send(JSON.stringify(request));
    });
  }

  input(channel: number, data: Uint8Array): void {
    this.socket.send(encodeFrame("stdin", channel, 0, data));
  }

  output(kind: "stdout" | "stderr", channel: number): Buffer {
    const mine = this.frames.filter((frame) => frame.kind === kind && frame.channel === channel);
    return Buffer.concat(mine.map((frame) => frame.payload));
  }

  exit(channel: number, timeoutMs: number = 10_000): Promise<Exit> {
    const isExit = (notice: RpcNotice): notice is Exit =>
      notice.type === "exit" && notice.channel === channel;
    return waitFor(() => this.notices.find(isExit), {
      timeoutMs,
      intervalMs: 2,
      describe: "an exit",
    });
  }

  dropped(channel: number): Dropped | undefined {
    return this.notices.find(
      (notice): notice is Dropped => notice.type === "dropped" && notice.channel === channel,
    );
  }

  #receive(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      const frame = decodeFrame(data);
      if (frame !== undefined) this.frames.push(frame);
      return;
    }
    const frame = JSON.parse(data.toString()) as { id?: string | number; type: string };
    const settle = this.#pending.get(frame.id);
    if (frame.id !== undefined && settle !== undefined) {
      this.#pending.delete(frame.id);
      settle(frame);
    } else if (frame.type === "error") {
      this.errors.push(frame as RpcError);
    } else {
      this.notices.push(frame as RpcNotice);
    }
  }
}
