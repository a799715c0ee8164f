/** What a command prints, line by line, for callers that follow it to its end or leave. */
import { platform } from "#platform";
import type { ApiClient } from "../api-client.ts";
import { sandboxError } from "../errors.ts";
import { openSession } from "../open-session.ts";
import { LineSplitter } from "../wire/line-splitter.ts";
import type { CommandHandle } from "./command-handle.ts";
import type { OutputName } from "./command-result.ts";
import { Commands, type Command, type CommandOptions } from "./commands.ts";

export interface OutputLine {
  stream: OutputName;
  /** Without its line end. */
  line: string;
}

export interface CommandEnd {
  exitCode: number;
  /** The signal that ended it, such as "SIGKILL". */
  signal: string | undefined;
  durationMs: number;
}

export interface LineStreamOptions extends CommandOptions {
  /** A non-zero exit code throws `command_failed` after the last line. */
  throwOnFailure?: boolean | undefined;
}

/**
 * Lines of both streams in the order they arrive; returns how the command ended. Leaving the loop
 * kills the command, and so does the signal.
 */
export async function* commandLines(
  api: ApiClient,
  id: string,
  command: Command,
  options: LineStreamOptions,
): AsyncGenerator<OutputLine, CommandEnd, undefined> {
  const { signal, throwOnFailure } = options;
  const session = openSession(platform, api, id);
  try {
    await using handle = await new Commands(async () => session).start(command, options);
    const detach = (): void => handle.detach();
    signal?.addEventListener("abort", detach, { once: true });
    try {
      signal?.throwIfAborted();
      yield* linesOf(handle);
      const { exitCode, signal: endedBy, durationMs } = await handle.wait();
      if (throwOnFailure === true && exitCode !== 0) throw failure(command, exitCode);
      return { exitCode, signal: endedBy, durationMs };
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", detach);
    }
  } finally {
    session.rpc.close();
  }
}

async function* linesOf(handle: CommandHandle): AsyncGenerator<OutputLine, void, undefined> {
  const streams = { stdout: new DecodedLines(), stderr: new DecodedLines() };
  for await (const { stream, bytes } of handle.output()) {
    for (const line of streams[stream].push(bytes)) yield { stream, line };
  }
  for (const stream of ["stdout", "stderr"] as const) {
    for (const line of streams[stream].end()) yield { stream, line };
  }
}

/** Each stream has its own decoder and its own unfinished line. */
class DecodedLines {
  readonly #decoder = new TextDecoder();
  readonly #splitter = new LineSplitter();

  push(bytes: Uint8Array): string[] {
    return this.#splitter.push(this.#decoder.decode(bytes, { stream: true }));
  }

  end(): string[] {
    return [...this.#splitter.push(this.#decoder.decode()), ...this.#splitter.end()];
  }
}

function failure(command: Command, exitCode: number): Error {
  const line = typeof command === "string" ? command : command.join(" ");
  const what = line.length > 80 ? `${line.slice(0, 80)}…` : line;
  return sandboxError("command_failed", `"${what}" ended with exit code ${exitCode}`, {
    details: { exitCode },
  });
}
