import { open } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import * as net from "node:net";
import { PIECE_BYTES, writeWhole } from "./local-file.ts";
import type { HttpRequest } from "./platform.ts";
import { broken } from "./request-error.ts";

/**
 * A plain connection for one request, whose answer's body goes to a file past the HTTP parser,
 * straight out of the one buffer that the socket is read into: a third of the work.
 */
export class DirectConnection {
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  readonly #socket: net.Socket;
  /** `true`: done with the bytes; `false` holds the next read back until the socket is resumed. */
  #take: (bytes: Buffer) => boolean = (bytes) => this.#socket.push(Buffer.from(bytes));

  constructor({ hostname, port }: URL) {
    this.#socket = net.connect({
      host: hostname.replace(/^\[|\]$/g, ""),
      port: Number(port || 80),
      onread: {
        buffer: this.#buffer,
        callback: (length) => this.#take(this.#buffer.subarray(0, length)),
      },
    });
  }

  /** For `http.request`'s `createConnection`. */
  get socket(): net.Socket {
    return this.#socket;
  }

  /**
   * Writes a body of known length to a file. To be called in the very event that brings the answer.
   * Rejects with what befell the connection, or with Node's error about the file.
   */
  async save(
    incoming: IncomingMessage,
    request: HttpRequest,
    to: { path: string; lengthBytes: number },
  ): Promise<void> {
    const first = this.#afterHead(incoming);
    const closed = new Promise<never>((_resolve, reject) => {
      incoming.once("close", () => {
        if (!incoming.complete) reject(broken(request, incoming.errored));
      });
    });
    try {
      await Promise.race([this.#write(first, to), closed]);
    } finally {
      incoming.destroy();
    }
  }

  async #write(
    first: Promise<Buffer>,
    { path, lengthBytes }: { path: string; lengthBytes: number },
  ): Promise<void> {
    const file = await open(path, "w");
    try {
      let bytes = await first;
      for (let leftBytes = lengthBytes; ; bytes = await this.#next()) {
        await writeWhole(file, bytes.subarray(0, leftBytes));
        leftBytes -= bytes.length;
        if (leftBytes <= 0) return;
      }
    } finally {
      await file.close();
    }
  }

  /** What came together with the head: the parser has handed it on once the event is over. */
  #afterHead(incoming: IncomingMessage): Promise<Buffer> {
    return new Promise((resolve) => {
      queueMicrotask(() => {
        const parsed: unknown = incoming.read();
        this.#socket.pause();
        resolve(parsed instanceof Buffer ? parsed : Buffer.alloc(0));
      });
    });
  }

  #next(): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#take = (bytes) => {
        resolve(bytes);
        return false;
      };
      this.#socket.resume();
    });
  }
}
