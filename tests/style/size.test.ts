import { expect, test } from "vitest";
import { isCode, repositoryFiles, type TextFile, type Violation } from "./repository.ts";

const LINES_MAX = 450;
const LINES_MEDIAN_MAX = 150;

/** Files that may be longer, with the reason. One that has become short enough must leave the list. */
const LONGER: ReadonlyMap<string, string> = new Map();

const linesOf = ({ text }: TextFile): number => text.trimEnd().split("\n").length;

function sizeViolations(
  files: readonly TextFile[],
  longer: ReadonlyMap<string, string> = LONGER,
): Violation[] {
  return files.flatMap((file) => {
    const lines = linesOf(file);
    if (longer.has(file.path)) {
      return lines > LINES_MAX ? [] : [`${file.path} is short again: take it off the list`];
    }
    return lines > LINES_MAX ? [`${file.path} has ${lines} lines, at most ${LINES_MAX}`] : [];
  });
}

const code = repositoryFiles().filter(({ path }) => isCode(path));

test("no file is longer than can be read in one sitting", () => {
  expect(sizeViolations(code)).toEqual([]);
});

test("the median file is short", () => {
  const sizes = code.map(linesOf).sort((a, b) => a - b);
  expect(sizes[Math.floor(sizes.length / 2)]).toBeLessThanOrEqual(LINES_MEDIAN_MAX);
});

test("the size check sees a long file, and one that need not be listed", () => {
  const long = { path: "long.ts", text: "x\n".repeat(LINES_MAX + 1) };
  const short = { path: "short.ts", text: "x\n".repeat(LINES_MAX) };
  expect(sizeViolations([long, short])).toHaveLength(1);
  expect(sizeViolations([long], new Map([["long.ts", "a table"]]))).toEqual([]);
  expect(sizeViolations([short], new Map([["short.ts", "a table"]]))).toHaveLength(1);
});
