import { expect, test } from "vitest";
import { FrameReader, OPCODES, WebSocketError, unmask } from "./frame-reader.ts";

const KEY = Uint8Array.from([0x37, 0xfa, 0x21, 0x3d]);

function clientFrame(opcode: number, payload: Buffer, fin: boolean = true): Buffer {
  const length = payload.length;
  const head = length < 126 ? Buffer.from([0, length]) : Buffer.alloc(length < 65_536 ? 4 : 10);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  if (head.length > 2) head[1] = head.length === 4 ? 126 : 127;
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (head[1] ?? 0) | 0x80;
  const masked = Buffer.from(payload.map((byte, index) => byte ^ (KEY[index % 4] ?? 0)));
  return Buffer.concat([head, KEY, masked]);
}

function reader(maxBytes: number = 1 << 20) {
  const messages: { data: Buffer; isBinary: boolean }[] = [];
  const events = {
    message: (data: Buffer, isBinary: boolean) => void messages.push({ data, isBinary }),
    ping: (data: Buffer) => void messages.push({ data, isBinary: false }),
    pong: () => undefined,
    close: () => undefined,
  };
  return { frames: new FrameReader(events, { maxBytes, fromClient: true }), messages };
}

test("unmasks at every alignment and length", () => {
  const memory = Buffer.alloc(64);
  for (let start = 0; start < 8; start += 1) {
    for (let length = 0; length < 24; length += 1) {
      const payload = memory.subarray(start, start + length).fill(0x5a);
      unmask(payload, KEY);
      for (const [index, byte] of payload.entries())
        expect(byte).toBe(0x5a ^ (KEY[index % 4] ?? 0));
    }
  }
});

test("takes messages of all length forms, however the bytes are cut", () => {
  for (const step of [1, 3, 7, 1000, 1 << 20]) {
    const { frames, messages } = reader();
    const sizes = [0, 1, 125, 126, 65_535, 65_536];
    const payloads = sizes.map((size) => Buffer.alloc(size, size % 251));
    const bytes = Buffer.concat(payloads.map((payload) => clientFrame(OPCODES.binary, payload)));
    for (let at = 0; at < bytes.length; at += step) {
      frames.push(Buffer.from(bytes.subarray(at, at + step)));
    }
    expect(messages.map(({ data }) => data.length)).toEqual(sizes);
    expect(messages.every(({ data }, index) => data.equals(payloads[index] ?? data))).toBe(true);
  }
});

test("joins fragments, with a ping between them", () => {
  const { frames, messages } = reader();
  frames.push(clientFrame(OPCODES.text, Buffer.from("Hel"), false));
  frames.push(clientFrame(OPCODES.ping, Buffer.from("?")));
  frames.push(clientFrame(OPCODES.continuation, Buffer.from("lo")));
  expect(messages.map(({ data }) => data.toString())).toEqual(["?", "Hello"]);
});

test("refuses what a client must not send", () => {
  const unmasked = Buffer.from([0x82, 0]);
  const reserved = Buffer.from([0xc2, 0x80, 0, 0, 0, 0]);
  const unknown = clientFrame(3, Buffer.alloc(0));
  const loose = clientFrame(OPCODES.continuation, Buffer.alloc(0));
  const longPing = clientFrame(OPCODES.ping, Buffer.alloc(126));
  for (const bytes of [unmasked, reserved, unknown, loose, longPing]) {
    expect(() => reader().frames.push(bytes)).toThrow(WebSocketError);
  }
});

test("refuses a message past its bound as soon as its header is seen", () => {
  const { frames } = reader(1000);
  const head = clientFrame(OPCODES.binary, Buffer.alloc(1001)).subarray(0, 8);
  expect(() => frames.push(head)).toThrow("1000 bytes");
});
