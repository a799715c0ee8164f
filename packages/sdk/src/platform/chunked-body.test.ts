import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ChunkedBody } from "./chunked-body.ts";

function decode(pieces: readonly Buffer[]): { body: Buffer; isDone: boolean } {
  const chunked = new ChunkedBody();
  const body = pieces.flatMap((piece) =>
    [...chunked.parts(piece)].map((part) => Buffer.from(part)),
  );
  return { body: Buffer.concat(body), isDone: chunked.isDone };
}

const encode = (chunks: readonly Uint8Array[]): Buffer =>
  Buffer.concat([
    ...chunks.flatMap((chunk) => [
      Buffer.from(`${chunk.length.toString(16)}\r\n`),
      chunk,
      Buffer.from("\r\n"),
    ]),
    Buffer.from("0\r\n\r\n"),
  ]);

test("what was put into chunks comes out, wherever it is cut on its way", () => {
  const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });
  fc.assert(
    fc.property(chunks, fc.array(fc.nat(2_500), { maxLength: 12 }), (given, cuts) => {
      const bytes = encode(given);
      const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort(
        (one, other) => one - other,
      );
      const pieces = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
      expect(decode(pieces)).toEqual({ body: Buffer.concat(given), isDone: true });
    }),
  );
});

test("extensions and trailers are passed over", () => {
  const bytes = Buffer.from("3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n\r\n");
  expect(decode([bytes])).toEqual({ body: Buffer.from("abc"), isDone: true });
});

test("a body that breaks off is not done", () => {
  const bytes = encode([Buffer.from("some"), Buffer.from("thing")]);
  for (let length = 0; length < bytes.length; length += 1) {
    expect(decode([bytes.subarray(0, length)]).isDone).toBe(false);
  }
});

test.each(["xyz\r\n", "\r\n", "3\r\nabcd\r\n", "1".repeat(2000), "ffffffffffffff\r\n"])(
  "%j is refused",
  (text) => {
    expect(() => decode([Buffer.from(text)])).toThrow(/chunk/);
  },
);
