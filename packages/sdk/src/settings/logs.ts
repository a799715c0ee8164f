/** `sandbox.logs()`: what the main command prints, and when it starts and ends. */
import type { RequestOptions } from "../configuration.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { Session } from "../session.ts";
import { JSON_LINES, jsonLines } from "../wire/json-lines.ts";
import {
  date,
  integer,
  object,
  oneOf,
  optional,
  requestOf,
  text,
  boolean,
  type ValueOf,
} from "../wire/shape.ts";

const logLine = object({
  /** "system" lines tell of the main command's starts and ends. */
  stream: oneOf("stdout", "stderr", "system"),
  at: date,
  /** Without a line end. */
  text,
});
export type LogLine = ValueOf<typeof logLine>;

const MOST_LINES = 100_000;

interface LogQuery {
  /** Stay, and give what is printed from now on, until the sandbox ends or you leave the loop. */
  follow?: boolean | undefined;
  /** Only the last so many lines of what is kept. */
  tail?: number | undefined;
}
export interface LogOptions extends RequestOptions, LogQuery {}

const logQuery = object<LogQuery>({
  follow: optional(boolean),
  tail: optional(integer(0, MOST_LINES)),
});

/** Leaving the loop closes the connection. The time limit is for the answer's beginning. */
export async function* readLogs(
  { api, id }: Session,
  options: LogOptions,
): AsyncGenerator<LogLine, void, undefined> {
  const { follow, tail, signal } = options;
  requestOf(logQuery, { follow, tail });
  const path = sandboxPath(id, "/logs");
  const query = { follow: follow === undefined ? undefined : String(follow), tail };
  const answer = await api.open("GET", path, {
    query,
    signal,
    // A log that is followed may have nothing to say for a long time, not even a beginning.
    requestTimeoutMs: options.requestTimeoutMs ?? (follow === true ? 0 : undefined),
    headers: { accept: JSON_LINES },
  });
  yield* jsonLines(answer.stream(), logLine, `GET ${path}`);
}
