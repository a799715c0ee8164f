import { describe, expect, test } from "vitest";
import type { OutputGap } from "./command-result.ts";
import { OutputBuffer, type OutputChunk } from "./output-buffer.ts";
import { OutputStream } from "./output-stream.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const show = ({ stream, bytes: part }: OutputChunk): string =>
  `${stream}:${new TextDecoder().decode(part)}`;

function make(limitBytes = 4) {
  const gaps: OutputGap[] = [];
  const buffer = new OutputBuffer({ limitBytes, onGap: (gap) => gaps.push(gap) });
  return { buffer, gaps };
}

describe("OutputBuffer", () => {
  test("gives both streams in the order of arrival", async () => {
    const { buffer } = make();
    void buffer.push("stdout", bytes("a"));
    void buffer.push("stderr", bytes("b"));
    void buffer.push("stdout", bytes("c"));
    buffer.end();
    const seen = await Array.fromAsync(buffer.read());
    expect(seen.map(show)).toEqual(["stdout:a", "stderr:b", "stdout:c"]);
  });

  test("holds the writer up while full, until read", async () => {
    const { buffer } = make();
    expect(buffer.push("stdout", bytes("abc"))).toBeUndefined();
    const held = buffer.push("stdout", bytes("def"));
    expect(held).toBeInstanceOf(Promise);
    const reading = buffer.read(["stdout"]);
    await reading.next();
    await expect(held).resolves.toBeUndefined();
  });

  test("an unread stream beside a read one loses its oldest bytes, and says so", async () => {
    const { buffer, gaps } = make();
    const reading = buffer.read(["stdout"]);
    const first = reading.next();
    expect(buffer.push("stderr", bytes("1234"))).toBeUndefined();
    expect(buffer.push("stderr", bytes("5678"))).toBeUndefined();
    expect(gaps).toEqual([{ stream: "stderr", from: 0, to: 4 }]);
    void buffer.push("stdout", bytes("x"));
    expect((await first).done).toBe(false);
  });

  test("ends with the error after what came before it", async () => {
    const { buffer } = make();
    void buffer.push("stdout", bytes("a"));
    buffer.end(new Error("lost"));
    const reading = buffer.read(["stdout"]);
    expect((await reading.next()).done).toBe(false);
    await expect(reading.next()).rejects.toThrow("lost");
  });

  test("a stream read half can be read further", async () => {
    const { buffer } = make();
    void buffer.push("stdout", bytes("a"));
    void buffer.push("stdout", bytes("b"));
    for await (const chunk of buffer.read(["stdout"])) {
      expect(show(chunk)).toBe("stdout:a");
      break;
    }
    expect(buffer.isClaimed("stdout")).toBe(false);
    buffer.end();
    expect((await Array.fromAsync(buffer.read(["stdout"]))).map(show)).toEqual(["stdout:b"]);
  });
});

describe("OutputStream", () => {
  const streamOf = (...parts: Uint8Array[]): OutputStream => {
    const { buffer } = make(1000);
    for (const part of parts) void buffer.push("stdout", part);
    buffer.end();
    return new OutputStream(() => buffer.read(["stdout"]));
  };

  test("never cuts a character in two", async () => {
    const euro = bytes("€");
    const stream = streamOf(euro.subarray(0, 1), euro.subarray(1));
    expect(await Array.fromAsync(stream)).toEqual(["€"]);
  });

  test("gives whole lines, the last one without an end too", async () => {
    const stream = streamOf(bytes("one\r\ntw"), bytes("o\n\nthree"));
    expect(await Array.fromAsync(stream.lines())).toEqual(["one", "two", "", "three"]);
  });
});
