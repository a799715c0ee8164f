import { open } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import * as net from "node:net";
import { ChunkedBody } from "./chunked-body.ts";
import { PIECE_BYTES, writeWhole } from "./local-file.ts";
import type { HttpRequest } from "./platform.ts";
import { broken } from "./request-error.ts";

const END_OF_HEAD = "\r\n\r\n";

/** Finds the body among the bytes that come, and its end. */
interface Body {
  parts(bytes: Buffer): Iterable<Buffer>;
  readonly isDone: boolean;
}

class PlainBody implements Body {
  #leftBytes: number;

  constructor(lengthBytes: number) {
    this.#leftBytes = lengthBytes;
  }

  get isDone(): boolean {
    return this.#leftBytes === 0;
  }

  parts(bytes: Buffer): Buffer[] {
    const part = bytes.subarray(0, this.#leftBytes);
    this.#leftBytes -= part.length;
    return [part];
  }
}

const bodyOf = ({ headers }: IncomingMessage): Body =>
  headers["transfer-encoding"] === undefined
    ? new PlainBody(Number(headers["content-length"]))
    : new ChunkedBody();

/** Whether the end of an answer's body can be told without Node's parser. */
export const canSaveDirectly = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] === "chunked" ||
  (headers["transfer-encoding"] === undefined && headers["content-length"] !== undefined);

/**
 * A plain connection for one request, whose answer's body goes to a file past the HTTP parser,
 * straight out of the one buffer that the socket is read into: a third of the work.
 */
export class DirectConnection {
  readonly #buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
  readonly #socket: net.Socket;
  /** What came before the answer was taken over, which the parser has read too. */
  #parsed: Buffer[] = [];
  /** `true`: done with the bytes; `false` holds the next read back until the socket is resumed. */
  #take: (bytes: Buffer) => boolean = (bytes) => {
    const copy = Buffer.from(bytes);
    this.#parsed.push(copy);
    return this.#socket.push(copy);
  };

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
   * Writes the answer's body to a file. To be called in the very event that brings the answer. Rejects
   * with what befell the connection, or with Node's error about the file.
   */
  async save(incoming: IncomingMessage, request: HttpRequest, path: string): Promise<void> {
    const first = this.#afterHead(incoming);
    const closed = new Promise<never>((_resolve, reject) => {
      const onClose = (): void => {
        if (!incoming.complete) reject(broken(request, incoming.errored));
      };
      incoming.once("close", onClose);
      // The parser, whose bytes were taken, does not see a connection that ends amid chunks.
      this.#socket.once("close", onClose);
    });
    try {
      await Promise.race([this.#write(first, path, bodyOf(incoming)), closed]);
    } finally {
      closed.catch(() => undefined);
      incoming.destroy();
    }
  }

  async #write(first: Promise<Buffer>, path: string, body: Body): Promise<void> {
    const file = await open(path, "w");
    try {
      for (let bytes = await first; ; bytes = await this.#next()) {
        for (const part of body.parts(bytes)) await writeWhole(file, part);
        if (body.isDone) return;
      }
    } finally {
      await file.close();
    }
  }

  /** What came together with the head, as it came. */
  #afterHead(incoming: IncomingMessage): Promise<Buffer> {
    return new Promise((resolve) => {
      queueMicrotask(() => {
        incoming.read();
        this.#socket.pause();
        const raw = Buffer.concat(this.#parsed);
        this.#parsed = [];
        resolve(raw.subarray(raw.indexOf(END_OF_HEAD) + END_OF_HEAD.length));
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
