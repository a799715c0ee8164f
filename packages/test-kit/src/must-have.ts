/**
 * For a test that needs something of its host: `test.skipIf(!mustHave(dockerAnswers, "a Docker
 * daemon"))`. On a laptop the test is skipped and the reason printed; under `CI=true` a missing
 * capability is a failure, so that a suite cannot pass by skipping.
 */
export function mustHave(present: boolean, what: string): boolean {
  if (present) return true;
  if (process.env["CI"] === "true")
    throw new Error(`this machine lacks ${what}, which CI must have`);
  process.stderr.write(`skipped: this machine lacks ${what}\n`);
  return false;
}
