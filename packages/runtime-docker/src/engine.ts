/** The Engine API as this runtime uses it: its errors said in our words, its streams followed to their end. */
import { Readable } from "node:stream";
import { InsienError, type ErrorCode } from "@insien/protocol";
import Docker from "dockerode";

export interface EngineError extends Error {
  /** HTTP status of the Engine's answer. */
  statusCode: number;
  /** The Engine's own sentence. */
  json: { message?: string } | undefined;
}

export const isEngineError = (error: unknown): error is EngineError =>
  error instanceof Error && "statusCode" in error && typeof error.statusCode === "number";

export const isNotFound = (error: unknown): boolean =>
  isEngineError(error) && error.statusCode === 404;
export const isConflict = (error: unknown): boolean =>
  isEngineError(error) && error.statusCode === 409;

/** The Engine's own words, without the status line that dockerode puts before them. */
export function engineWords(error: unknown): string {
  if (isEngineError(error) && error.json?.message !== undefined) return error.json.message.trim();
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^\(HTTP code \d+\) [\w ]+ - /, "").trim();
}

/** The Engine says so with 400 or 500, depending on what is asked. */
const isNoImageName = (error: unknown): boolean =>
  isEngineError(error) && engineWords(error).includes("invalid reference format");

const UNREACHABLE = new Set([
  "ENOENT",
  "ECONNREFUSED",
  "ECONNRESET",
  "EPIPE",
  "EACCES",
  "ENOTFOUND",
]);
const errorCodeOf = (error: unknown): unknown =>
  error instanceof Error && "code" in error ? error.code : undefined;

export class Engine {
  readonly docker: Docker;
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
    this.docker = new Docker({ socketPath });
  }

  /**
   * Runs a call and gives `undefined` where the Engine says 404. Questions (`ask`) may be asked again
   * when a kept-alive connection turns out to have died with a restarted daemon.
   */
  async ask<Answer>(what: string, call: () => Promise<Answer>): Promise<Answer | undefined> {
    try {
      return await call().catch((error: unknown) => {
        if (errorCodeOf(error) === "ECONNRESET" || errorCodeOf(error) === "EPIPE") return call();
        throw error;
      });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw this.failure("internal", what, error);
    }
  }

  /** An error of the table for a call that failed: `code`, unless Docker itself is out of reach. */
  failure(code: ErrorCode, what: string, cause: unknown): InsienError {
    if (cause instanceof InsienError) return cause;
    if (cause instanceof Error && cause.name === "AbortError") {
      return new InsienError("timeout", `${what} was given up`, { cause });
    }
    const reason = errorCodeOf(cause);
    if (!isEngineError(cause) && typeof reason === "string" && UNREACHABLE.has(reason)) {
      const message = `Docker does not answer at ${this.socketPath} (${reason}); ${what} is not possible`;
      return new InsienError("create_failed", message, { cause });
    }
    const kind = isNoImageName(cause) ? "invalid_request" : code;
    return new InsienError(kind, `${what} failed: ${engineWords(cause)}`, { cause });
  }
}

/** Reads a stream of JSON objects, one per line, as builds, pulls, imports and events are told. */
export async function* jsonLines(stream: NodeJS.ReadableStream): AsyncGenerator<unknown> {
  let rest = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) {
    const lines = (rest + String(chunk)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") yield JSON.parse(line);
  }
  if (rest.trim() !== "") yield JSON.parse(rest);
}

/** Runs `use` on a stream that ends early when the signal aborts. */
export async function untilAborted<Answer>(
  stream: NodeJS.ReadableStream,
  signal: AbortSignal | undefined,
  use: () => Promise<Answer>,
): Promise<Answer> {
  const stop = () => void (stream instanceof Readable && stream.destroy());
  signal?.addEventListener("abort", stop, { once: true });
  try {
    signal?.throwIfAborted();
    return await use();
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}
