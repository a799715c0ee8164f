/** A byte stream to a TCP port inside the sandbox, as a pair of web streams. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { pause } from "../deadline.ts";
import { errorFromClose, sandboxError } from "../errors.ts";
import type { OpenSocketOptions, Platform, Socket, SocketClose } from "../platform/platform.ts";

const NORMAL_CLOSE = 1000;
const SEND_POLL_MS = 2;
const PIECE_BYTES = 256 * 1024;

/** In Node, `Duplex.fromWeb(connection)` makes a stream of it. */
export class PortConnection {
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it tells the port that no more will come; reading goes on. */
  readonly writable: WritableStream<Uint8Array>;
  #socket: Socket | undefined;
  #reading: ReadableStreamDefaultController<Uint8Array> | undefined;
  #closed: SocketClose | undefined;

  private constructor() {
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reading = controller;
        },
        pull: () => this.#socket?.resume(),
        cancel: () => this.close(),
      },
      { highWaterMark: LIMITS.sendBufferBytes.value, size: (bytes) => bytes.byteLength },
    );
    this.writable = new WritableStream<Uint8Array>({
      write: (bytes) => this.#write(bytes),
      // An empty message is the port's end of file.
      close: () => this.#socket?.send(new Uint8Array(0)),
      abort: () => this.close(),
    });
  }

  static async open(
    platform: Platform,
    url: string,
    options: Omit<OpenSocketOptions, "handlers">,
  ): Promise<PortConnection> {
    const connection = new PortConnection();
    connection.#socket = await platform.openSocket(url, {
      ...options,
      handlers: {
        message: (data) => connection.#receive(data),
        closed: (close) => connection.#ended(close),
      },
    });
    return connection;
  }

  close(): void {
    this.#socket?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #receive(data: string | Uint8Array): void {
    if (typeof data === "string" || this.#closed !== undefined) return;
    this.#reading?.enqueue(data);
    const room = this.#reading?.desiredSize ?? 0;
    if (room <= 0) this.#socket?.pause();
    if (room < -LIMITS.sdkBacklogBytes.value) this.#overflow();
  }

  /** A browser's socket cannot be paused, and bytes of a port cannot be asked for again. */
  #overflow(): void {
    this.#reading?.error(
      sandboxError("limit_reached", "the port sent more than was read; read it faster"),
    );
    this.#reading = undefined;
    this.close();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
      if (this.#closed !== undefined) {
        throw sandboxError("connection_lost", "the connection to the port has ended");
      }
      this.#socket?.send(bytes.subarray(start, start + PIECE_BYTES));
      while (
        this.#closed === undefined &&
        (this.#socket?.bufferedBytes ?? 0) > LIMITS.sendBufferBytes.value
      ) {
        await pause(SEND_POLL_MS);
      }
    }
  }

  #ended(close: SocketClose): void {
    this.#closed = close;
    try {
      if (close.code === NORMAL_CLOSE) this.#reading?.close();
      else
        this.#reading?.error(
          errorFromClose(close) ??
            sandboxError("connection_lost", "the connection to the port broke"),
        );
    } catch {
      // The reader cancelled: nobody is there to be told.
    }
  }
}
