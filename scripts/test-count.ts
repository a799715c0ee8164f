import { readFileSync } from "node:fs";

export interface TestCount {
  passed: number;
  failed: number;
  skipped: number;
}

/** The part of vitest's JSON report that is read here. */
interface TestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; assertionResults: unknown[] }[];
}

/**
 * Sums the report of a vitest run. A file that could not even be loaded counts as one failure, and
 * so does a run that failed with no failed test or left no report.
 */
export function countTests(reportPath: string, runSucceeded: boolean): TestCount {
  let report: TestReport;
  try {
    report = JSON.parse(readFileSync(reportPath, "utf8")) as TestReport;
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const unloaded = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
  );
  const failed = report.numFailedTests + unloaded.length;
  return {
    passed: report.numPassedTests,
    failed: runSucceeded ? failed : Math.max(1, failed),
    skipped: report.numPendingTests + report.numTodoTests,
  };
}
