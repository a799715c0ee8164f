import { describe, expect, test } from "vitest";
import { jsonLines } from "./json-lines.ts";

const BOUNDS = { lineBytes: 1000, linesPerSecond: 100, bytesPerSecond: 100_000 };

async function* chunks(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}
const read = (...texts: string[]) => Array.fromAsync(jsonLines(chunks(...texts), BOUNDS));

describe("lines of JSON", () => {
  test("are put together from pieces, cut anywhere", async () => {
    expect(await read('{"a":1}\n{"b"', ":", '2}\n"ü"\n')).toEqual([{ a: 1 }, { b: 2 }, "ü"]);
    const bytes = [...Buffer.from('"ü"\n')].map((byte) => Buffer.of(byte));
    expect(await Array.fromAsync(jsonLines(bytes as never, BOUNDS))).toEqual(["ü"]);
  });

  test("that are none end the reading", async () => {
    await expect(read("hello\n")).rejects.toThrow(SyntaxError);
  });

  test("without end are given up before they fill the memory", async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) {
        given += 100;
        yield Buffer.alloc(100, "x");
      }
    }
    const reading = Array.fromAsync(jsonLines(endless(), BOUNDS));
    await expect(reading).rejects.toThrow(/longer than 1000 bytes/);
    expect(given).toBeLessThan(1200);
  });

  test("by the thousand are read at a bounded pace", async () => {
    const begun = performance.now();
    expect(await read("1\n".repeat(250))).toHaveLength(250);
    expect(performance.now() - begun).toBeGreaterThan(1900);
  });
});
