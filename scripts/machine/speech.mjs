/** What the scripts say goes to stderr, one line a step: stdout belongs to their result. */

/** @param {string} sentence */
export function say(sentence) {
  process.stderr.write(`${sentence}\n`);
}

/** Ends a script with a reason that a person can act on, not a stack trace. */
export class SetupError extends Error {}

/**
 * Runs a script's main function; a `SetupError` becomes its sentence and exit code 1.
 * @param {() => Promise<void>} main
 */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
