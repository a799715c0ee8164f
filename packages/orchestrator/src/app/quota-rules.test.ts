import { InsienError } from "@insien/protocol";
import { expect, test } from "vitest";
import type { OwnerUsage } from "../db/index.ts";
import { type QuotaBounds, type Wanted, assertWithin } from "./quota-rules.ts";

const usage = (used: Partial<OwnerUsage["used"]> = {}, oldest?: number): OwnerUsage => ({
  used: { sandboxes: 0, cpu: 0, memory: 0, disk: 0, creates_per_minute: 0, ...used },
  oldestCreateAgeSeconds: oldest,
});

function refusal(bounds: QuotaBounds, used: OwnerUsage, wanted: Wanted): InsienError | undefined {
  try {
    assertWithin(bounds, used, wanted);
    return undefined;
  } catch (error) {
    if (error instanceof InsienError) return error;
    throw error;
  }
}

test("what is not bounded, or not wanted, is never refused", () => {
  const much = usage({ sandboxes: 1e6, cpu: 1e6, memory: 2 ** 50, disk: 2 ** 50 });
  expect(refusal({}, much, { sandboxes: 1, cpu: 8, memory: 2 ** 40, disk: 0 })).toBeUndefined();
  expect(refusal({ sandboxes: 1 }, much, { cpu: 1 })).toBeUndefined();
});

test("the last one fits, the next does not, and the error names quota, limit and use", () => {
  expect(refusal({ sandboxes: 3 }, usage({ sandboxes: 2 }), { sandboxes: 1 })).toBeUndefined();
  const error = refusal({ sandboxes: 3 }, usage({ sandboxes: 3 }), { sandboxes: 1 });
  expect(error).toMatchObject({
    code: "quota_exceeded",
    status: 403,
    details: { quota: "sandboxes", limit: 3, used: 3 },
  });
  expect(error?.message).toBe(
    "The quota 'sandboxes' is 3, of which 3 are used: destroy a sandbox that you no longer need, " +
      "or ask an administrator for a higher one",
  );
});

test("fractions of cores add up to the limit exactly", () => {
  const used = usage({ cpu: 0.1 + 0.2 });
  expect(refusal({ cpu: 0.6 }, used, { cpu: 0.3 })).toBeUndefined();
  expect(refusal({ cpu: 0.6 }, used, { cpu: 0.31 })?.details).toMatchObject({ used: 0.3 });
});

test("sizes are told as people write them", () => {
  const used = usage({ memory: 1.5 * 1024 ** 3 });
  const error = refusal({ memory: 2 * 1024 ** 3 }, used, { memory: 1024 ** 3 });
  expect(error?.message).toContain("is 2g, of which 1.5g are used");
});

test("files that reach the limit leave no place for more, though nothing is asked for yet", () => {
  const bounds = { disk: 1000 };
  expect(refusal(bounds, usage({ disk: 999 }), { disk: 0 })).toBeUndefined();
  expect(refusal(bounds, usage({ disk: 1000 }), { disk: 0 })?.code).toBe("quota_exceeded");
  expect(refusal(bounds, usage({ disk: 500 }), { disk: 501 })?.code).toBe("quota_exceeded");
});

test("creates per minute say when to try again", () => {
  const used = usage({ creates_per_minute: 5 }, 20.4);
  const error = refusal({ creates_per_minute: 5 }, used, { creates_per_minute: 1 });
  expect(error).toMatchObject({
    code: "rate_limited",
    status: 429,
    details: { quota: "creates_per_minute", limit: 5, used: 5, retryAfterSeconds: 40 },
  });
});
