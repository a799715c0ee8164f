import fc from "fast-check";
import { expect, test } from "vitest";
import { Ring } from "./ring.ts";

const contents = (ring: Ring, from: number): Buffer => Buffer.concat([...ring.read(from)]);

test("keeps the last bytes at their positions, whatever is appended", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20_000 }), chunks, (limit, parts) => {
      const ring = new Ring(limit);
      for (const part of parts) ring.append(part);
      const whole = Buffer.concat(parts);
      expect(ring.end).toBe(whole.length);
      expect(ring.end - ring.start).toBeGreaterThanOrEqual(Math.min(limit, whole.length));
      expect(ring.bytes).toBeLessThanOrEqual(limit);
      expect(contents(ring, ring.start).equals(whole.subarray(ring.start))).toBe(true);
    }),
  );
});

test("short output takes little memory", () => {
  const ring = new Ring(1 << 20);
  ring.append(Buffer.from("hello"));
  expect(ring.bytes).toBe(4096);
  expect(contents(ring, 2).toString()).toBe("llo");
});

test("once cleared it holds nothing but knows how much there was", () => {
  const ring = new Ring(100);
  ring.append(Buffer.alloc(50));
  ring.clear();
  expect([ring.start, ring.end, ring.bytes]).toEqual([50, 50, 0]);
  expect(contents(ring, 50).length).toBe(0);
});
