import { LIMITS } from "@insien/protocol";

/**
 * How long to wait before the start that follows a failure, in milliseconds: `mainRestartFirstMs`
 * after the first of a row, twice as long after each further one, up to `mainRestartPauseMs`. There
 * is one main command in a machine, so nothing is gained by spreading the pauses at random.
 */
export const restartPauseMs = (failuresBefore: number): number =>
  Math.min(
    LIMITS.mainRestartFirstMs.value * 2 ** Math.min(failuresBefore, 30),
    LIMITS.mainRestartPauseMs.value,
  );
