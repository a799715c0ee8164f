/**
 * Takes WebSocket frames (RFC 6455) out of a byte stream. Our own, because the one library at hand
 * costs every idle sandbox four megabytes and its start fifteen milliseconds; we need no compression.
 */
export const OPCODES = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

export interface FrameEvents {
  /** A whole message, unmasked. The bytes may be kept. */
  message(data: Buffer, isBinary: boolean): void;
  ping(data: Buffer): void;
  pong(): void;
  close(code: number | undefined): void;
}

/** What the other side did wrong; `code` goes into the close frame. */
export class WebSocketError extends Error {
  override readonly name = "WebSocketError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const PROTOCOL_ERROR = 1002;
const TOO_BIG = 1009;
const MASK_BYTES = 4;
const CONTROL_BYTES = 125;
const SHORT_LENGTH = 126;
const LONG_LENGTH = 127;

interface Header {
  fin: boolean;
  opcode: number;
  masked: boolean;
  headerBytes: number;
  length: number;
}

export class FrameReader {
  readonly #events: FrameEvents;
  readonly #maxBytes: number;
  readonly #fromClient: boolean;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #header: Header | undefined;
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #fragmentOpcode: number | undefined;

  /** `fromClient`: frames must be masked, as a client's are; a server's must not be. */
  constructor(events: FrameEvents, options: { maxBytes: number; fromClient: boolean }) {
    this.#events = events;
    this.#maxBytes = options.maxBytes;
    this.#fromClient = options.fromClient;
  }

  /** Throws `WebSocketError`; the connection is then to be closed. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    while (this.#next());
  }

  #next(): boolean {
    this.#header ??= this.#readHeader();
    const header = this.#header;
    if (header === undefined || this.#buffered < header.headerBytes + header.length) return false;
    const bytes = this.#take(header.headerBytes + header.length);
    this.#header = undefined;
    const payload = bytes.subarray(header.headerBytes);
    if (header.masked) {
      unmask(payload, bytes.subarray(header.headerBytes - MASK_BYTES, header.headerBytes));
    }
    this.#handle(header, payload);
    return true;
  }

  #readHeader(): Header | undefined {
    const first = this.#peek(2);
    if (first === undefined) return undefined;
    const [flags = 0, size = 0] = first;
    const short = size & 0x7f;
    const lengthBytes = short === LONG_LENGTH ? 8 : short === SHORT_LENGTH ? 2 : 0;
    const masked = (size & 0x80) !== 0;
    const headerBytes = 2 + lengthBytes + (masked ? MASK_BYTES : 0);
    const whole = this.#peek(headerBytes);
    if (whole === undefined) return undefined;
    let length = short;
    if (lengthBytes === 2) length = whole.readUInt16BE(2);
    if (lengthBytes === 8) length = Number(whole.readBigUInt64BE(2));
    const header = { fin: (flags & 0x80) !== 0, opcode: flags & 0x0f, masked, headerBytes, length };
    this.#check(header, flags);
    return header;
  }

  #check({ fin, opcode, masked, length }: Header, flags: number): void {
    if ((flags & 0x70) !== 0) throw new WebSocketError(PROTOCOL_ERROR, "reserved bits are set");
    if (masked !== this.#fromClient) throw new WebSocketError(PROTOCOL_ERROR, "wrong masking");
    if (opcode >= OPCODES.close) {
      if (!fin || length > CONTROL_BYTES || opcode > OPCODES.pong) {
        throw new WebSocketError(PROTOCOL_ERROR, "malformed control frame");
      }
      return;
    }
    const continues = opcode === OPCODES.continuation;
    if (opcode > OPCODES.binary || continues !== (this.#fragmentOpcode !== undefined)) {
      throw new WebSocketError(PROTOCOL_ERROR, "unexpected frame");
    }
    if (length + this.#fragmentBytes > this.#maxBytes) {
      throw new WebSocketError(TOO_BIG, `a message may hold ${this.#maxBytes} bytes`);
    }
  }

  #handle(header: Header, payload: Buffer): void {
    switch (header.opcode) {
      case OPCODES.ping:
        this.#events.ping(payload);
        return;
      case OPCODES.pong:
        this.#events.pong();
        return;
      case OPCODES.close:
        this.#events.close(payload.length >= 2 ? payload.readUInt16BE(0) : undefined);
        return;
      default:
        this.#handleData(header, payload);
    }
  }

  #handleData(header: Header, payload: Buffer): void {
    const opcode = this.#fragmentOpcode ?? header.opcode;
    if (header.fin && this.#fragmentOpcode === undefined) {
      this.#events.message(payload, opcode === OPCODES.binary);
      return;
    }
    this.#fragments.push(payload);
    this.#fragmentBytes += payload.length;
    this.#fragmentOpcode = opcode;
    if (!header.fin) return;
    const message = Buffer.concat(this.#fragments);
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#fragmentOpcode = undefined;
    this.#events.message(message, opcode === OPCODES.binary);
  }

  #peek(length: number): Buffer | undefined {
    if (this.#buffered < length) return undefined;
    this.#gather(length);
    return this.#chunks[0]?.subarray(0, length);
  }

  #take(length: number): Buffer {
    this.#gather(length);
    const chunk = this.#chunks[0] ?? Buffer.alloc(0);
    if (chunk.length === length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(length);
    this.#buffered -= length;
    return chunk.subarray(0, length);
  }

  /** Makes the first chunk hold at least `length` bytes, joining once rather than chunk by chunk. */
  #gather(length: number): void {
    const first = this.#chunks[0];
    if (first === undefined || first.length >= length) return;
    let count = 0;
    for (let bytes = 0; bytes < length; count += 1) bytes += this.#chunks[count]?.length ?? length;
    this.#chunks.splice(0, count, Buffer.concat(this.#chunks.slice(0, count)));
  }
}

/** Undoes the mask in place: four bytes at a time where the memory is aligned for it. */
export function unmask(payload: Buffer, mask: Uint8Array): void {
  const key = Uint8Array.from(mask);
  const toBoundary = (4 - (payload.byteOffset % 4)) % 4;
  const aligned = Math.min(toBoundary, payload.length);
  const count = (payload.length - aligned) >> 2;
  unmaskBytes(payload, key, 0, aligned);
  if (count > 0) {
    const turned = Uint8Array.from([0, 1, 2, 3], (step) => key[(aligned + step) % 4] ?? 0);
    const word = new Uint32Array(turned.buffer)[0] ?? 0;
    const words = new Uint32Array(payload.buffer, payload.byteOffset + aligned, count);
    for (let at = 0; at < count; at += 1) words[at] = (words[at] ?? 0) ^ word;
  }
  unmaskBytes(payload, key, aligned + count * 4, payload.length);
}

function unmaskBytes(payload: Buffer, key: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; at += 1) payload[at] = (payload[at] ?? 0) ^ (key[at % 4] ?? 0);
}
