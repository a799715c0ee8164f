/**
 * The suite that every runtime passes. A driver's test names itself and how it is made; the cases
 * are here, once. They need real machines: the suite listens at each machine's line and judges by
 * what the agent inside says and by what the host shows in /proc.
 *
 * The idea is containerd's snapshotter suite: drivers differ only in what they declare they lack,
 * and each case that does not apply is skipped with a written reason.
 */
import { afterAll, beforeAll, describe, onTestFinished, test } from "vitest";
import { Bench, type BenchOptions } from "./conformance/bench.ts";
import { isolationCases } from "./conformance/isolation-cases.ts";
import { leftoverCases } from "./conformance/leftover-cases.ts";
import { lifecycleCases } from "./conformance/lifecycle-cases.ts";
import { limitCases } from "./conformance/limit-cases.ts";
import { meterCases } from "./conformance/meter-cases.ts";
import { volumeCases } from "./conformance/volume-cases.ts";

const cases = {
  ...lifecycleCases,
  ...limitCases,
  ...isolationCases,
  ...leftoverCases,
  ...volumeCases,
  ...meterCases,
};
export type ConformanceCase = keyof typeof cases;

export type { RuntimeConstruction } from "./conformance/bench.ts";
export { Bench, type TestMachine } from "./conformance/bench.ts";
export { LineServer } from "./conformance/line-server.ts";

export interface ConformanceOptions extends BenchOptions {
  /** The runtime's, as it appears in the report. */
  name: string;
  skip?: ReadonlyArray<{ case: ConformanceCase; reason: string }>;
}

/** Registers the suite with vitest. Call it at the top level of a driver's test file. */
export function runtimeConformance(options: ConformanceOptions): void {
  const reasons = new Map(options.skip?.map((row) => [row.case, row.reason]));
  describe(`runtime conformance: ${options.name}`, () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await Bench.open(options);
    });
    afterAll(async () => {
      await bench?.[Symbol.asyncDispose]();
    });

    for (const [name, run] of Object.entries(cases)) {
      const reason = reasons.get(name as ConformanceCase);
      // oxlint-disable-next-line vitest/valid-title -- the cases have it
      test(name, async (context) => {
        context.skip(reason !== undefined, reason);
        onTestFinished(() => bench.clear());
        await run(bench, context);
      });
    }
  });
}
