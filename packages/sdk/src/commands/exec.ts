/** A command to its end in one request, for callers that keep no connection to the sandbox. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { environment } from "../models/create-sandbox-request.ts";
import { sandboxPath } from "../sandbox-api.ts";
import { number, object, optional, requestOf, text, list, type ValueOf } from "../wire/shape.ts";

const execAnswer = object({
  stdout: text,
  stderr: text,
  /** As a shell gives it: 128 and the signal's number when a signal ended the command. */
  exitCode: number(),
  /** The signal that ended it, such as "SIGKILL". */
  signal: optional(text),
  durationMs: number(),
  /** Set when there was more output than is collected; the text is then its beginning. */
  truncated: optional(object({ stdoutBytes: number(), stderrBytes: number() })),
});
export type ExecutedCommand = ValueOf<typeof execAnswer>;

interface ExecRequest {
  /** A line for `sh -c`. */
  shell?: string | undefined;
  cmd?: string | undefined;
  args?: string[] | undefined;
  cwd?: string | undefined;
  environment?: Record<string, string> | undefined;
  user?: string | undefined;
  stdin?: string | undefined;
  timeoutSeconds?: number | undefined;
}
const execRequest = object<ExecRequest>({
  shell: optional(text),
  cmd: optional(text),
  args: optional(list(text)),
  cwd: optional(text),
  environment: optional(environment),
  user: optional(text),
  stdin: optional(text),
  timeoutSeconds: optional(number(0, 86_400)),
});

export interface ExecOptions extends Pick<ExecRequest, "cwd" | "user" | "stdin"> {
  /** Added to the sandbox's environment. */
  env?: Record<string, string> | undefined;
}

/** For the answer of a command that was ended, which must not be given up a moment before. */
const ANSWER_MS = 2_000;

/**
 * A non-zero exit is a result. The command is ended when the request's time is over, and within a
 * minute of an aborted `signal`.
 */
export async function executeCommand(
  api: ApiClient,
  id: string,
  command: string | readonly string[],
  options: ExecOptions & RequestOptions,
): Promise<ExecutedCommand> {
  const { cwd, env, user, stdin, signal } = options;
  const timeoutMs = options.requestTimeoutMs ?? api.configuration.requestTimeoutMs;
  const what = typeof command === "string" ? { shell: command } : argumentsOf(command);
  const settings = { cwd, environment: env, user, stdin, timeoutSeconds: timeoutMs / 1000 };
  const json = requestOf(execRequest, { ...what, ...settings });
  const requestTimeoutMs = timeoutMs === 0 ? 0 : timeoutMs + ANSWER_MS;
  const call = { signal, requestTimeoutMs, json, answer: execAnswer };
  return api.json("POST", sandboxPath(id, "/exec"), call);
}

const argumentsOf = ([cmd, ...args]: readonly string[]): ExecRequest => ({ cmd, args });
