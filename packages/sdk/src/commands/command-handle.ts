/** A running command: its output to iterate over, its input to write to, its end to wait for. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { RequestOptions } from "../configuration.ts";
import { abortable } from "../deadline.ts";
import { sandboxError, SandboxError } from "../errors.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";
import {
  exitCodeOf,
  exitError,
  type CommandResult,
  type OutputGap,
  type OutputName,
} from "./command-result.ts";
import { CommandStream, type CommandOrigin } from "./command-stream.ts";
import { InputWriter } from "./input-writer.ts";
import { OutputBuffer, type OutputChunk } from "./output-buffer.ts";
import { OutputStream } from "./output-stream.ts";
import { TextCollector } from "./text-collector.ts";

export interface HandleOptions extends RequestOptions {
  /**
   * Told of output that was overwritten before it could be read. What it throws ends the stream.
   */
  onGap?: ((gap: OutputGap) => void) | undefined;
  /** "report" (the default) lists lost output in `gaps`; "error" makes it an error. */
  gapPolicy?: "report" | "error" | undefined;
}

export class CommandHandle {
  /** Output as text; `.bytes()` and `.lines()` give it in other forms. Read each stream once. */
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  /** Output that was lost so far. Empty unless connections were. */
  readonly gaps: readonly OutputGap[];
  readonly #client: RpcClient;
  readonly #buffer: OutputBuffer;
  readonly #input: InputWriter;
  readonly #stream: CommandStream;
  #result: Promise<CommandResult> | undefined;

  private constructor(
    client: RpcClient,
    stream: CommandStream,
    buffer: OutputBuffer,
    gaps: readonly OutputGap[],
  ) {
    this.#client = client;
    this.#stream = stream;
    this.#buffer = buffer;
    this.gaps = gaps;
    this.stdout = new OutputStream(() => buffer.read(["stdout"]));
    this.stderr = new OutputStream(() => buffer.read(["stderr"]));
    this.#input = new InputWriter(client, stream.processId);
  }

  static async open(
    client: RpcClient,
    origin: CommandOrigin,
    options: HandleOptions,
  ): Promise<CommandHandle> {
    const gaps: OutputGap[] = [];
    const onGap = gapReporter(gaps, options);
    const attach = "attach" in origin ? origin.attach : undefined;
    const offsets = { stdout: attach?.stdoutOffset, stderr: attach?.stderrOffset };
    const buffer = new OutputBuffer({ onGap, offsets });
    const reader = {
      chunk: (name: OutputName, bytes: Uint8Array) => buffer.push(name, bytes),
      gap: (gap: OutputGap) => buffer.skip(gap),
    };
    const stream = await CommandStream.open(client, origin, reader, options);
    stream.finished().then(
      () => buffer.end(),
      (error: unknown) => buffer.end(error as Error),
    );
    return new CommandHandle(client, stream, buffer, gaps);
  }

  get processId(): string {
    return this.#stream.processId;
  }

  /** The process number inside the sandbox. */
  get pid(): number {
    return this.#stream.pid;
  }

  /** Both streams' pieces in the order they arrived, instead of `stdout` and `stderr`. */
  output(): AsyncGenerator<OutputChunk, void, undefined> {
    return this.#buffer.read();
  }

  /**
   * Waits for the end and gives the result, with the text of the streams that nobody iterates over.
   * Throws `command_timeout` when the command's `timeoutMs` ended it.
   */
  wait(options: { signal?: AbortSignal | undefined } = {}): Promise<CommandResult> {
    this.#result ??= this.#collect();
    return abortable(this.#result, options.signal);
  }

  /** Writes to stdin (`stdin: true` at the start); resolves when the command's side took it. */
  write(data: string | Uint8Array, options?: RequestOptions): Promise<void> {
    return this.#input.write(data, options);
  }

  /** The command reads end-of-file after what was written. */
  closeStdin(options?: RequestOptions): Promise<void> {
    return this.#input.close(options);
  }

  /** Sends a signal to the command and its children; `false` when it has ended. */
  async signal(name: string, options?: RequestOptions): Promise<boolean> {
    const { processId } = this;
    return (await this.#client.call("signal", { processId, signal: name }, options)).delivered;
  }

  /** Ends the command with SIGKILL; `false` when it has ended. */
  kill(options?: RequestOptions): Promise<boolean> {
    return this.signal("SIGKILL", options);
  }

  /** Stops following. A command that is not `background` and nobody follows ends after a minute. */
  detach(): void {
    this.#stream.close();
  }

  /** Kills the command if it still runs. What ended together with its sandbox needs no killing. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#stream.exit === undefined && !this.#client.pool.closed) await this.kill();
    } catch (error) {
      if (!this.#client.pool.closed && !isGone(error)) throw error;
    } finally {
      this.detach();
    }
  }

  async #collect(): Promise<CommandResult> {
    const limitBytes = LIMITS.collectedOutputBytes.value;
    const collected = {
      stdout: new TextCollector(limitBytes),
      stderr: new TextCollector(limitBytes),
    };
    const free = (["stdout", "stderr"] as const).filter((name) => !this.#buffer.isClaimed(name));
    for await (const { stream, bytes } of this.#buffer.read(free)) collected[stream].add(bytes);
    return commandResult(await this.#stream.finished(), collected, this.gaps);
  }
}

/** Whether the machine that the command ran on is no more. */
const isGone = (error: unknown): boolean =>
  error instanceof SandboxError && !error.retryable && error.code !== "unauthorized";

/** Lists each gap, tells of it, and makes it an error where that is asked for. */
export const gapReporter =
  (gaps: OutputGap[], options: HandleOptions) =>
  (gap: OutputGap): void => {
    gaps.push(gap);
    options.onGap?.(gap);
    if (options.gapPolicy !== "error") return;
    throw sandboxError(
      "connection_lost",
      `bytes ${gap.from} to ${gap.to} of ${gap.stream} were overwritten before they could be read`,
      { details: { ...gap } },
    );
  };

/** Throws the error of an exit that is one. */
export function commandResult(
  exit: NonNullable<CommandStream["exit"]>,
  collected: Record<OutputName, TextCollector>,
  gaps: readonly OutputGap[],
): CommandResult {
  const { stdout, stderr } = collected;
  const output = { stdout: stdout.text(), stderr: stderr.text() };
  const error = exitError(exit, output);
  if (error !== undefined) throw error;
  const cut = stdout.truncated || stderr.truncated;
  return {
    ...output,
    exitCode: exitCodeOf(exit),
    signal: exit.signal,
    durationMs: exit.durationMs,
    processId: exit.processId,
    truncated: cut ? { stdoutBytes: stdout.totalBytes, stderrBytes: stderr.totalBytes } : undefined,
    gaps: [...gaps],
  };
}
