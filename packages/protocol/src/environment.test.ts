import { expect, test } from "vitest";
import { environment } from "./environment.ts";
import { LIMITS } from "./limits.ts";

const longest = LIMITS.commandLineBytes.value - "NAME=".length - 1;

test("takes empty values, all of Unicode, and a value as long as Linux takes", () => {
  const env = { EMPTY: "", UNICODE: "žluťoučký 🦄\n", NAME: "x".repeat(longest) };
  expect(environment.parse(env)).toEqual(env);
});

test("refuses a variable that no program could be started with, by its name", () => {
  const { error } = environment.safeParse({ FINE: "x", NAME: "x".repeat(longest + 1) });
  expect(error?.issues).toMatchObject([
    { path: ["NAME"], message: expect.stringMatching(/131072 bytes with its name/) },
  ]);
  // Bytes count, not characters.
  expect(environment.safeParse({ NAME: "ž".repeat(longest / 2 + 1) }).success).toBe(false);
});

test("refuses more than its bytes in all", () => {
  const half = "x".repeat(LIMITS.environmentBytes.value / 3);
  expect(environment.safeParse({ A: half, B: half }).success).toBe(true);
  expect(environment.safeParse({ A: half, B: half, C: half }).success).toBe(false);
});
