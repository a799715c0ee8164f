import { expect, test } from "vitest";
import { LineSplitter } from "./line-splitter.ts";

test("lines come when they are whole, however the text is cut", () => {
  const splitter = new LineSplitter();
  expect(splitter.push("a\r")).toEqual([]);
  expect(splitter.push("\nb\n\nc")).toEqual(["a", "b", ""]);
  expect(splitter.end()).toEqual(["c"]);
  expect(splitter.end()).toEqual([]);
});

test("a line without an end comes in pieces", () => {
  const splitter = new LineSplitter(4);
  expect(splitter.push("abcdefghij")).toEqual(["abcd", "efgh"]);
  expect(splitter.push("k\nl")).toEqual(["ijk"]);
  expect(splitter.end()).toEqual(["l"]);
});
