import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { countTests } from "./test-count.ts";

const report = (numbers: object, testResults: object[] = []): string => {
  const path = join(mkdtempSync(join(tmpdir(), "insien-count-")), "report.json");
  const zero = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 };
  writeFileSync(path, JSON.stringify({ ...zero, ...numbers, testResults }));
  return path;
};

test("sums passed, failed and skipped", () => {
  const path = report({
    numPassedTests: 7,
    numFailedTests: 2,
    numPendingTests: 3,
    numTodoTests: 1,
  });
  expect(countTests(path, false)).toEqual({ passed: 7, failed: 2, skipped: 4 });
});

test("a file that could not be loaded is a failure", () => {
  const path = report({ numPassedTests: 7 }, [
    { status: "failed", assertionResults: [] },
    { status: "passed", assertionResults: [{}] },
  ]);
  expect(countTests(path, false)).toEqual({ passed: 7, failed: 1, skipped: 0 });
});

test("a run that failed has a failure, whatever its report says", () => {
  expect(countTests(report({ numPassedTests: 7 }), false).failed).toBe(1);
  expect(countTests(join(tmpdir(), "no", "report.json"), true).failed).toBe(1);
});
