import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { FrameReader, OPCODES, WebSocketError, unmask } from "./frame-reader.ts";

/** A frame's header at its longest, so that one may be put before bytes in place. */
export const WEB_SOCKET_HEADER_BYTES = 14;
const NORMAL_CLOSURE = 1000;
const MEDIUM_LENGTH = 0xffff;
const SHORT_LENGTH = 126;
/** How long the other side may take to answer our close before the stream is cut. */
const CLOSE_MS = 1000;

export interface WebSocketEvents {
  message(data: Buffer, isBinary: boolean): void;
  pong?(): void;
  /** Once, however it ended. */
  close(): void;
}

export interface WebSocketOptions {
  maxBytes: number;
  role: "server" | "client";
  /** Bytes that came behind the upgrade. */
  head?: Buffer;
  /**
   * Writes to a descriptor at once and gives the number of bytes taken, or -1. With it a frame that
   * the kernel takes whole never touches the stream's machinery.
   */
  writeNow?: (fd: number, bytes: Uint8Array) => number;
}

/** One end of an established WebSocket. */
export class WebSocket {
  readonly #stream: Duplex;
  #events: WebSocketEvents | undefined;
  readonly #reader: FrameReader;
  readonly #head: Buffer | undefined;
  readonly #client: boolean;
  readonly #writeNow: ((fd: number, bytes: Uint8Array) => number) | undefined;
  #closing = false;
  #closed = false;

  constructor(stream: Duplex, options: WebSocketOptions) {
    this.#stream = stream;
    this.#head = options.head;
    this.#client = options.role === "client";
    this.#writeNow = options.writeNow;
    this.#reader = new FrameReader(
      {
        message: (data, isBinary) => this.#closing || this.#events?.message(data, isBinary),
        ping: (data) => this.#frame(OPCODES.pong, data),
        pong: () => this.#events?.pong?.(),
        close: (code) => this.#answerClose(code),
      },
      { maxBytes: options.maxBytes, fromClient: !this.#client },
    );
  }

  /** Starts to read, once. */
  listen(events: WebSocketEvents): void {
    this.#events = events;
    const stream = this.#stream;
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("error", () => stream.destroy());
    stream.on("end", () => stream.destroy());
    stream.on("close", () => this.#finish());
    if (this.#head !== undefined && this.#head.length > 0) this.#read(this.#head);
    if (stream.destroyed) this.#finish();
  }

  get open(): boolean {
    return !this.#closing && !this.#closed;
  }

  /** Bytes that the kernel has not taken yet. */
  get pendingBytes(): number {
    return this.#stream.writableLength;
  }

  /** Resolves at once, or when all that waits was taken, or when the connection ended. */
  onceDrained(callback: () => void): void {
    if (this.#closed || this.#stream.writableLength === 0) callback();
    else this.#stream.write(Buffer.alloc(0), callback);
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  sendText(text: string): void {
    const length = Buffer.byteLength(text);
    const frame = Buffer.allocUnsafe(WEB_SOCKET_HEADER_BYTES + length);
    frame.write(text, WEB_SOCKET_HEADER_BYTES, length, "utf8");
    this.sendInPlace(OPCODES.text, frame);
  }

  sendBinary(data: Uint8Array): void {
    this.#frame(OPCODES.binary, data);
  }

  /**
   * Sends what lies behind the first WEB_SOCKET_HEADER_BYTES of `frame`, which are overwritten. The
   * memory is the caller's again when this returns.
   */
  sendInPlace(opcode: number, frame: Buffer): void {
    if (this.#closed || (this.#closing && opcode < OPCODES.close)) return;
    const start = this.#writeHeader(opcode, frame);
    this.#write(frame.subarray(start));
  }

  ping(): void {
    this.#frame(OPCODES.ping, Buffer.alloc(0));
  }

  close(code: number = NORMAL_CLOSURE): void {
    if (!this.open) return;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    this.#frame(OPCODES.close, payload);
    this.#closing = true;
    setTimeout(() => this.#stream.destroy(), CLOSE_MS).unref();
  }

  terminate(): void {
    this.#stream.destroy();
  }

  #read(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
    } catch (error) {
      if (!(error instanceof WebSocketError)) throw error;
      this.close(error.code);
      this.#stream.end();
    }
  }

  #answerClose(code: number | undefined): void {
    if (!this.#closing)
      this.close(code === undefined || code < NORMAL_CLOSURE ? NORMAL_CLOSURE : code);
    this.#stream.end();
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events?.close();
  }

  #frame(opcode: number, data: Uint8Array): void {
    const frame = Buffer.allocUnsafe(WEB_SOCKET_HEADER_BYTES + data.byteLength);
    frame.set(data, WEB_SOCKET_HEADER_BYTES);
    this.sendInPlace(opcode, frame);
  }

  /** Puts the header right before the payload; gives where it starts. */
  #writeHeader(opcode: number, frame: Buffer): number {
    const length = frame.length - WEB_SOCKET_HEADER_BYTES;
    const lengthBytes = length < SHORT_LENGTH ? 0 : length <= MEDIUM_LENGTH ? 2 : 8;
    const start = WEB_SOCKET_HEADER_BYTES - 2 - lengthBytes - (this.#client ? 4 : 0);
    const maskBit = this.#client ? 0x80 : 0;
    frame[start] = 0x80 | opcode;
    if (lengthBytes === 0) frame[start + 1] = maskBit | length;
    if (lengthBytes === 2) {
      frame[start + 1] = maskBit | SHORT_LENGTH;
      frame.writeUInt16BE(length, start + 2);
    }
    if (lengthBytes === 8) {
      frame[start + 1] = maskBit | 127;
      frame.writeUInt32BE(Math.floor(length / 2 ** 32), start + 2);
      frame.writeUInt32BE(length >>> 0, start + 6);
    }
    if (this.#client) {
      const mask = crypto.getRandomValues(
        frame.subarray(WEB_SOCKET_HEADER_BYTES - 4, WEB_SOCKET_HEADER_BYTES),
      );
      unmask(frame.subarray(WEB_SOCKET_HEADER_BYTES), mask);
    }
    return start;
  }

  #write(bytes: Buffer): void {
    const stream = this.#stream;
    let taken = 0;
    const fd = this.#writeNow === undefined ? undefined : descriptorOf(stream);
    if (fd !== undefined && stream.writableLength === 0) {
      taken = Math.max(0, this.#writeNow?.(fd, bytes) ?? 0);
    }
    if (taken < bytes.length) stream.write(Buffer.from(bytes.subarray(taken)));
  }
}

/** The kernel's number for a socket that is open for writing, which Node keeps on its handle. */
function descriptorOf(stream: Duplex): number | undefined {
  if (stream.writableEnded || stream.destroyed) return undefined;
  const handle = (stream as Socket & { _handle?: { fd?: number } | null })._handle;
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
