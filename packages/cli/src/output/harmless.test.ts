import { expect, test } from "vitest";
import { harmless, harmlessJson, harmlessLine } from "./harmless.ts";

const TITLE = "\u001b]0;taken\u0007";
const CLEAR = "\u001b[2J";
const EIGHT_BIT_CLEAR = "\u009b2J";

test("sequences that a terminal would obey are shown instead", () => {
  const shown = harmless(`a${TITLE}b${CLEAR}c${EIGHT_BIT_CLEAR}d\re\u007f`);
  expect(shown).toBe("a\ufffd]0;taken\ufffdb\ufffd[2Jc\ufffd2Jd\ufffde\ufffd");
});

test("lines, tabs and colours stay; in one line only colours do", () => {
  const text = "one\n\t\u001b[31mtwo\u001b[39m";
  expect(harmless(text)).toBe(text);
  expect(harmlessLine(text)).toBe("one\ufffd\ufffd\u001b[31mtwo\u001b[39m");
});

test("JSON means what it meant", () => {
  const value = { name: `${EIGHT_BIT_CLEAR}${CLEAR}\u007fü` };
  const json = harmlessJson(JSON.stringify(value));
  expect(JSON.parse(json)).toEqual(value);
  expect(harmlessLine(json)).toBe(json);
});
