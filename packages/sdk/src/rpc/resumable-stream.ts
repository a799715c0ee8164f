/**
 * A stream of frames that outlives its connection: when the connection is lost it finds another and
 * asks to go on where it was. A reader that is slow holds up the connection, and through it the
 * program that prints; nothing is kept here beyond what was under way.
 */
import type { Frame, FrameKind } from "@insien/protocol/frames";
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { RpcAnswers, RpcNotice, RpcType } from "@insien/protocol";
import type { RequestOptions } from "../configuration.ts";
import { pause, withDeadline } from "../deadline.ts";
import { isLostConnection, isWorthRetrying, retry } from "./retry.ts";
import { isRepeatable, type RpcClient } from "./rpc-client.ts";
import type { RpcConnection, RpcFields } from "./rpc-connection.ts";

/** One way to ask for the stream, at first or again. */
export interface StreamRequest {
  readonly type: RpcType;
  /** Sends the request; `answered` is called before the first frame is looked at. */
  ask(connection: RpcConnection, signal: AbortSignal, answered: () => void): Promise<unknown>;
}

/** `opened` is called with the answer before the first frame is looked at. */
export const streamRequest = <Type extends RpcType>(
  type: Type,
  fields: RpcFields<Type>,
  opened: (answer: RpcAnswers[Type]) => void,
): StreamRequest => ({
  type,
  ask: (connection, signal, answered) =>
    connection.call(type, fields, {
      signal,
      timeoutMs: 0,
      onAnswer: (answer) => {
        answered();
        opened(answer);
      },
    }),
});

export interface StreamDefinition {
  first: StreamRequest;
  /** Asked for each time anew: it holds the offsets reached by then. */
  resume(): StreamRequest;
  /** A promise holds the stream up until it resolves. */
  frame(frame: Frame): void | Promise<void>;
  /** "end" when it was the stream's last word. */
  notice(notice: RpcNotice): "end" | "more";
}

const SEND_POLL_MS = 5;
/** What a notice in the backlog counts for; none is much longer than a path. */
const NOTICE_BYTES = 512;
type Message = { frame: Frame } | { notice: RpcNotice };
const sizeOf = (message: Message): number =>
  "frame" in message ? message.frame.payload.byteLength + NOTICE_BYTES : NOTICE_BYTES;

export class ResumableStream {
  /** Resolves at the stream's end or `close`; rejects with the error that ended it. */
  readonly ended: Promise<void>;
  readonly #client: RpcClient;
  readonly #definition: StreamDefinition;
  readonly #closing = new AbortController();
  #connection: RpcConnection | undefined;
  #connected: Promise<void> = Promise.resolve();
  /** Messages that arrived while the reader was busy; `undefined` when it is not. */
  #backlog: Message[] | undefined;
  #backlogBytes = 0;
  #caughtUp: Promise<void> = Promise.resolve();
  #finished = false;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  private constructor(client: RpcClient, definition: StreamDefinition) {
    this.#client = client;
    this.#definition = definition;
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    this.ended.catch(() => undefined);
  }

  /** Resolves once the sandbox has answered the first request. */
  static async open(
    client: RpcClient,
    definition: StreamDefinition,
    options: RequestOptions = {},
  ): Promise<ResumableStream> {
    const stream = new ResumableStream(client, definition);
    const { signal } = options;
    const timeoutMs = options.requestTimeoutMs ?? client.requestTimeoutMs;
    const { first } = definition;
    try {
      await withDeadline({ what: first.type, signal, timeoutMs }, (until) =>
        isRepeatable(first.type)
          ? retry(() => stream.#connect(first, until), {
              forMs: client.reconnectTimeoutMs,
              signal: until,
              worthIt: isLostConnection,
            })
          : stream.#connect(first, until),
      );
    } catch (error) {
      stream.#finish(error);
      throw error;
    }
    return stream;
  }

  /** Sends input; waits while the connection is being restored or has too much to send. */
  async send(kind: FrameKind, channel: () => number, payload: Uint8Array): Promise<void> {
    await this.#connected;
    if (this.#finished) await this.ended;
    this.#connection?.sendBytes(kind, channel(), payload);
    while ((this.#connection?.bufferedBytes ?? 0) > LIMITS.sendBufferBytes.value) {
      await pause(SEND_POLL_MS);
    }
  }

  /** Leaves the stream; what it showed goes on. */
  close(): void {
    this.#finish(undefined);
  }

  async #connect(request: StreamRequest, signal: AbortSignal): Promise<void> {
    const { pool } = this.#client;
    const connection = await this.#client.connect(() => pool.exclusive(), signal);
    if (this.#finished || signal.aborted) {
      pool.release(connection);
      signal.throwIfAborted();
      return;
    }
    this.#connection = connection;
    let answered = false;
    connection.listen({
      frame: (frame) => this.#receive({ frame }),
      notice: (notice) => this.#receive({ notice }),
      closed: (error) => {
        if (!answered) return;
        if (isWorthRetrying(error)) this.#connected = this.#reconnect();
        else this.#finish(error);
      },
    });
    try {
      await request.ask(connection, signal, () => {
        answered = true;
      });
    } catch (error) {
      // The answer to an abandoned request must not meet the connection's next user.
      connection.listen(undefined);
      if (signal.aborted) connection.close();
      else pool.release(connection);
      throw error;
    }
  }

  async #reconnect(): Promise<void> {
    // What was received is read first: it may hold the stream's end, and it moves the offsets.
    await this.#caughtUp;
    if (this.#finished) return;
    try {
      await retry(() => this.#connect(this.#definition.resume(), this.#closing.signal), {
        forMs: this.#client.reconnectTimeoutMs,
        signal: this.#closing.signal,
        worthIt: isLostConnection,
      });
    } catch (error) {
      this.#finish(error);
    }
  }

  #receive(message: Message): void {
    if (this.#finished) return;
    if (this.#backlog === undefined) {
      const held = this.#handle(message);
      if (held === undefined) return;
      this.#backlog = [];
      this.#connection?.pause();
      this.#caughtUp = this.#catchUp(held);
      return;
    }
    this.#backlog.push(message);
    this.#backlogBytes += sizeOf(message);
    // Only where pausing has no effect: leave, and come back at the offset when the reader is
    // ready.
    if (this.#backlogBytes > LIMITS.sdkBacklogBytes.value) this.#connection?.close();
  }

  async #catchUp(held: Promise<void>): Promise<void> {
    try {
      await held;
      for (let message = this.#backlog?.shift(); message; message = this.#backlog?.shift()) {
        this.#backlogBytes -= sizeOf(message);
        if (this.#finished) break;
        await this.#handle(message);
      }
    } catch (error) {
      this.#finish(error);
    }
    this.#backlog = undefined;
    this.#backlogBytes = 0;
    this.#connection?.resume();
  }

  #handle(message: Message): Promise<void> | undefined {
    try {
      if ("frame" in message) return this.#definition.frame(message.frame) ?? undefined;
      if (this.#definition.notice(message.notice) === "end") this.#finish(undefined, true);
    } catch (error) {
      this.#finish(error);
    }
    return undefined;
  }

  #finish(error: unknown, reusable = false): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#closing.abort();
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection !== undefined) {
      connection.listen(undefined);
      connection.resume();
      if (reusable) this.#client.pool.release(connection);
      else connection.close();
    }
    if (error === undefined) this.#resolveEnded();
    else this.#rejectEnded(error);
  }
}
