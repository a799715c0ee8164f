/**
 * SHA-1 (FIPS 180-4) of a short text, which the WebSocket handshake asks for and nothing else here
 * does. The first hash that Node's crypto makes costs nine milliseconds, in every new sandbox.
 */
const BLOCK_BYTES = 64;
const ROUND_CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];

const rotate = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));

export function sha1(text: string): Buffer {
  const message = padded(Buffer.from(text));
  const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  for (let at = 0; at < message.length; at += BLOCK_BYTES) {
    absorb(state, message.subarray(at, at + BLOCK_BYTES));
  }
  const digest = Buffer.alloc(state.length * 4);
  for (const [index, word] of state.entries()) digest.writeInt32BE(word | 0, index * 4);
  return digest;
}

function padded(text: Buffer): Buffer {
  const blocks = Math.ceil((text.length + 9) / BLOCK_BYTES);
  const message = Buffer.alloc(blocks * BLOCK_BYTES);
  message.set(text);
  message[text.length] = 0x80;
  message.writeUInt32BE(text.length * 8, message.length - 4);
  return message;
}

function absorb(state: number[], block: Buffer): void {
  const words = Array.from({ length: 16 }, (_, index) => block.readInt32BE(index * 4));
  for (let index = 16; index < 80; index += 1) {
    const mixed = word(words, index - 3) ^ word(words, index - 8);
    words.push(rotate(mixed ^ word(words, index - 14) ^ word(words, index - 16), 1));
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (const [index, value] of words.entries()) {
    const quarter = Math.floor(index / 20);
    const next =
      (rotate(a, 5) + choose(quarter, b, c, d) + e + word(ROUND_CONSTANTS, quarter) + value) | 0;
    [e, d, c, b, a] = [d, c, rotate(b, 30), a, next];
  }
  for (const [index, value] of [a, b, c, d, e].entries())
    state[index] = (word(state, index) + value) | 0;
}

function choose(quarter: number, b: number, c: number, d: number): number {
  if (quarter === 0) return (b & c) | (~b & d);
  if (quarter === 2) return (b & c) | (b & d) | (c & d);
  return b ^ c ^ d;
}

const word = (words: readonly number[], index: number): number => words[index] ?? 0;
