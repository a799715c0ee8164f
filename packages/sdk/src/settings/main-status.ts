/** The main command of a sandbox: the program that runs as long as the sandbox does. */
import { date, number, object, oneOf, optional, text, type ValueOf } from "../wire/shape.ts";

export const mainStatus = object({
  /**
   * `waiting`: it failed and will be started again; `exited`: it ended with 0; `failed`: it ended
   * otherwise with its retries used up, or could not be started.
   */
  state: oneOf("running", "waiting", "exited", "failed", "stopped"),
  /** Starts after the first. */
  restarts: number(),
  maxRetries: number(),
  exitCode: optional(number()),
  signal: optional(text),
  /** Why it could not be started. */
  error: optional(text),
  changedAt: date,
});
export type MainStatus = ValueOf<typeof mainStatus>;
