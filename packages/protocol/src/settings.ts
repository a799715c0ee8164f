/** Environment, entrypoint, main command and its log: what an existing sandbox can be told anew. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { environment } from "./environment.ts";
import { plainText } from "./plain-text.ts";

const word = plainText.max(LIMITS.commandLineBytes.value);

/** Text is a line for `/bin/sh -c`; a list is a program and its arguments, taken as they are. */
export const commandLine = z.union(
  [word.min(1), z.array(word).min(1).max(1024)],
  "must be text, or a list of a program and its arguments",
);
export type CommandLine = z.infer<typeof commandLine>;

export const environmentBody = z.strictObject({
  environment,
  /** `true` (the default): added to what there is; `false`: instead of it. */
  merge: z.boolean().optional(),
});
export type EnvironmentBody = z.infer<typeof environmentBody>;

export const environmentAnswer = z.object({
  environment: z.record(z.string(), z.string()),
  /** Commands started from now on have it; `true` when the main command runs with an older one. */
  restart_needed: z.boolean(),
});
export type EnvironmentAnswer = z.infer<typeof environmentAnswer>;

/** What is left out stays as it is; `null` takes it away. */
export const entrypointBody = z
  .strictObject({
    entrypoint: commandLine.nullable().optional(),
    command: commandLine.nullable().optional(),
  })
  .refine(
    (body) => body.entrypoint !== undefined || body.command !== undefined,
    "give entrypoint, command or both",
  );
export type EntrypointBody = z.infer<typeof entrypointBody>;

export const entrypointAnswer = z.object({
  entrypoint: commandLine.optional(),
  command: commandLine.optional(),
  /** `true` when the main command that runs, or ran last, is an older one: restart it. */
  restart_needed: z.boolean(),
});
export type EntrypointAnswer = z.infer<typeof entrypointAnswer>;

/**
 * The main command. `waiting`: it failed and will be started again; `exited`: it ended with 0;
 * `failed`: it ended otherwise and its retries are used up, or it could not be started at all.
 */
export const MAIN_STATES = ["running", "waiting", "exited", "failed", "stopped"] as const;
export const mainStatus = z.object({
  state: z.enum(MAIN_STATES),
  /** Starts after the first. */
  restarts: z.number(),
  max_retries: z.number(),
  exit_code: z.number().optional(),
  signal: z.string().optional(),
  /** Why it could not be started. */
  error: z.string().optional(),
  changed_at: z.string(),
});
export type MainStatus = z.infer<typeof mainStatus>;

/** `grace_ms`: between SIGTERM and SIGKILL. */
export const stopMainBody = z.strictObject({ grace_ms: z.int().min(0).max(60_000).optional() });

export const logQuery = z.strictObject({
  /** `true`: stays open and sends what the main command prints, until the sandbox ends. */
  follow: z.enum(["true", "false"]).optional(),
  /** Only the last so many lines of what is kept; 0 for none of them. */
  tail: z.coerce.number().int().min(0).max(100_000).optional(),
});
export type LogQuery = z.infer<typeof logQuery>;

/**
 * One line of the log as `application/x-ndjson`; `text` has no line end. `system` lines tell of the
 * main command's starts and ends. As `text/plain` (the default) only the texts are sent.
 */
export interface LogLine {
  stream: "stdout" | "stderr" | "system";
  at: string;
  text: string;
}
