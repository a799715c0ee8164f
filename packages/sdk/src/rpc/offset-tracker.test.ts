import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OffsetTracker } from "./offset-tracker.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (part: Uint8Array | undefined): string => new TextDecoder().decode(part);

describe("OffsetTracker", () => {
  test("takes what follows, drops what it has, cuts what overlaps", () => {
    const tracker = new OffsetTracker(0);
    expect(text(tracker.accept(0, bytes("abc")).bytes)).toBe("abc");
    expect(tracker.accept(0, bytes("abc"))).toEqual({ bytes: undefined, gap: undefined });
    expect(text(tracker.accept(1, bytes("bcdef")).bytes)).toBe("def");
    expect(tracker.next).toBe(6);
  });

  test("reports bytes that are missing before a piece", () => {
    const tracker = new OffsetTracker(2);
    const piece = tracker.accept(5, bytes("x"));
    expect(piece.gap).toEqual({ from: 2, to: 5 });
    expect(text(piece.bytes)).toBe("x");
  });

  test("without a start, the first piece may begin anywhere", () => {
    const tracker = new OffsetTracker();
    expect(tracker.accept(100, bytes("ab")).gap).toBeUndefined();
    expect(tracker.next).toBe(102);
  });

  test("skipping reports only what this reader lacks", () => {
    const tracker = new OffsetTracker(10);
    expect(tracker.skipTo(30, 0)).toEqual({ from: 10, to: 30 });
    expect(tracker.skipTo(20, 0)).toBeUndefined();
    expect(tracker.next).toBe(30);
  });

  test("whatever is cut, repeated or left out, each byte comes once or is in a gap", () => {
    const stream = Uint8Array.from({ length: 200 }, (_, index) => index);
    const piece = fc.record({ back: fc.nat(40), skip: fc.nat(10), length: fc.nat(30) });
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const tracker = new OffsetTracker(0);
        const seen: number[] = [];
        for (const { back, skip, length } of pieces) {
          const offset = Math.max(0, tracker.next - back + skip);
          const end = Math.min(stream.length, offset + length);
          if (end <= offset) continue;
          const accepted = tracker.accept(offset, stream.subarray(offset, end));
          for (let at = accepted.gap?.from ?? 0; at < (accepted.gap?.to ?? 0); at += 1)
            seen.push(at);
          seen.push(...(accepted.bytes ?? []));
        }
        expect(seen).toEqual([...stream.subarray(0, tracker.next)]);
      }),
    );
  });
});
