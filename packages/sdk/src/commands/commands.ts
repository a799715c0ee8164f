/** `sandbox.commands`: run, start, attach to and list the sandbox's commands. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { ProcessInfo } from "@insien/protocol";
import type { RequestOptions } from "../configuration.ts";
import { sandboxError } from "../errors.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";
import type { Session, SessionSource } from "../session.ts";
import { CommandHandle, commandResult, gapReporter, type HandleOptions } from "./command-handle.ts";
import type { CommandResult, OutputGap, OutputName } from "./command-result.ts";
import { CommandStream, killQuietly } from "./command-stream.ts";
import { InputWriter } from "./input-writer.ts";
import { TextCollector } from "./text-collector.ts";

/** A list is run as it is, with no shell between; a text is one line for `sh -c`. */
export type Command = string | readonly string[];

export interface CommandOptions extends HandleOptions {
  /** The sandbox's home by default. */
  cwd?: string | undefined;
  /** Added to the sandbox's environment. */
  env?: Record<string, string> | undefined;
  /** A user's name or number; the template's user by default. */
  user?: string | undefined;
  /** How long the command may run before it is ended with `command_timeout`. 0: no limit. */
  timeoutMs?: number | undefined;
}

export interface RunOptions extends CommandOptions {
  /** What the command reads; nothing by default. */
  stdin?: string | Uint8Array | undefined;
  /** Called with text as it appears. While a promise it returns is open, the command is held up. */
  onStdout?: ((text: string) => void | Promise<void>) | undefined;
  onStderr?: ((text: string) => void | Promise<void>) | undefined;
  /** The same with the bytes as they are. */
  onStdoutBytes?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  onStderrBytes?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  /** How much of each stream the result holds; 8 MiB by default. */
  maxOutputBytes?: number | undefined;
}

export interface StartOptions extends CommandOptions {
  /** Keep stdin open for `handle.write`. */
  stdin?: boolean | undefined;
  /** Let it outlive this program. */
  background?: boolean | undefined;
  /** A name to find it by in `list`. */
  tag?: string | undefined;
}

export interface AttachOptions extends HandleOptions {
  /** Where in the output to begin: 0 (the default) is all that is kept. */
  stdoutOffset?: number | undefined;
  stderrOffset?: number | undefined;
}

export class Commands {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  /**
   * Runs a command to its end. A non-zero exit code is a result, not an error. An aborted `signal`
   * kills the command.
   */
  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    const { rpc } = await this.#session(options);
    const limitBytes = options.maxOutputBytes ?? LIMITS.collectedOutputBytes.value;
    const collected = {
      stdout: new TextCollector(limitBytes),
      stderr: new TextCollector(limitBytes),
    };
    const listeners = { stdout: listener(options, "stdout"), stderr: listener(options, "stderr") };
    const gaps: OutputGap[] = [];
    const reader = {
      chunk: (name: OutputName, bytes: Uint8Array) => {
        collected[name].add(bytes);
        return listeners[name]?.piece(bytes);
      },
      gap: gapReporter(gaps, options),
    };
    const start = { ...commandFields(command, options), stdin: options.stdin !== undefined };
    const stream = await CommandStream.open(rpc, { start }, reader, options);
    const exit = await follow(rpc, stream, options);
    await listeners.stdout?.end();
    await listeners.stderr?.end();
    return commandResult(exit, collected, gaps);
  }

  /** Starts a command and returns while it runs. */
  async start(command: Command, options: StartOptions = {}): Promise<CommandHandle> {
    const { rpc } = await this.#session(options);
    const { stdin, background, tag } = options;
    const start = { ...commandFields(command, options), stdin, background, tag };
    return CommandHandle.open(rpc, { start }, options);
  }

  /** Follows a command that was started before, by this program or another. */
  async connect(processId: string, options: AttachOptions = {}): Promise<CommandHandle> {
    const { rpc } = await this.#session(options);
    const { stdoutOffset, stderrOffset } = options;
    return CommandHandle.open(rpc, { attach: { processId, stdoutOffset, stderrOffset } }, options);
  }

  /** The commands that run and the last ones that ended. */
  async list(options: RequestOptions = {}): Promise<ProcessInfo[]> {
    const { rpc }: Session = await this.#session(options);
    return (await rpc.call("list", {}, options)).processes;
  }
}

/** How a command is told to the sandbox; terminals take the same. */
export function commandFields(command: Command | undefined, options: CommandOptions) {
  const { cwd, env, user, timeoutMs } = options;
  const common = { cwd, env, user, timeoutMs };
  if (command === undefined) return common;
  if (typeof command === "string") return { ...common, shell: command };
  const [cmd, ...args] = command;
  if (cmd === undefined) {
    throw sandboxError(
      "invalid_request",
      "the command is an empty list; its first item is the program",
      {
        details: { field: "command" },
      },
    );
  }
  return { ...common, cmd, args };
}

interface OutputListener {
  piece(bytes: Uint8Array): void | Promise<void>;
  end(): void | Promise<void>;
}

function listener(options: RunOptions, name: OutputName): OutputListener | undefined {
  const onText = name === "stdout" ? options.onStdout : options.onStderr;
  const onBytes = name === "stdout" ? options.onStdoutBytes : options.onStderrBytes;
  if (onText === undefined) {
    return onBytes && { piece: (bytes) => onBytes(bytes), end: () => undefined };
  }
  const decoder = new TextDecoder();
  const tell = (text: string): void | Promise<void> => (text === "" ? undefined : onText(text));
  return {
    piece: (bytes) => {
      const held = onBytes?.(bytes);
      const text = decoder.decode(bytes, { stream: true });
      return held === undefined ? tell(text) : held.then(() => tell(text));
    },
    end: () => tell(decoder.decode()),
  };
}

/** Feeds stdin and waits for the end; kills the command when the caller no longer wants it. */
async function follow(rpc: RpcClient, stream: CommandStream, options: RunOptions) {
  const { signal, stdin } = options;
  const kill = (): void => {
    killQuietly(rpc, stream.processId);
    stream.close();
  };
  signal?.addEventListener("abort", kill, { once: true });
  try {
    if (stdin !== undefined) feed(new InputWriter(rpc, stream.processId), stdin);
    if (signal?.aborted === true) kill();
    return await stream.finished();
  } catch (error) {
    if (stream.exit === undefined && signal?.aborted !== true) kill();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

/** A command that ends without reading all of its input is no error; how it ended says enough. */
function feed(input: InputWriter, stdin: string | Uint8Array): void {
  input.write(stdin).catch(() => undefined);
  input.close().catch(() => undefined);
}
