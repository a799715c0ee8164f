import { SandboxError } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { EXIT, exitCodeOf } from "../exit-codes.ts";
import { harmless } from "../output/harmless.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { UsageError } from "../usage-error.ts";
import { collectVariable, commandWords, secondsOf } from "../values.ts";

interface Flags extends OutputFlags {
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  timeout?: number;
  interactive?: boolean;
  shell?: boolean;
}

export function addExec(program: Command): void {
  program
    .command("exec")
    .description("Run a command in a sandbox; its output and exit code become this command's own")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<command...>", "program and arguments")
    .option("-w, --cwd <directory>", "where to run it")
    .option("-e, --env <name=value>", "a variable, repeatable", collectVariable)
    .option("-u, --user <user>", "who runs it")
    .option("-t, --timeout <time>", "end it after this long, such as 30s or 5m", secondsOf)
    .option("-i, --interactive", "pass this terminal's or pipe's input on")
    .option("-c, --shell", "the argument is a line for the shell")
    .option("--json", "its output and how it ended as JSON, at its end")
    .passThroughOptions()
    .action(async (reference: string, words: string[], flags: Flags, command: Command) => {
      process.exitCode = await run(reference, commandWords(words), flags, command).catch(
        (error: unknown) => {
          if (error instanceof SandboxError && error.code === "command_not_found") {
            process.stderr.write(`error: ${harmless(error.message)}\n`);
            return 127;
          }
          if (error instanceof SandboxError && exitCodeOf(error) === EXIT.failed) {
            process.stderr.write(`error: ${harmless(error.message)}\n${error.hint}\n`);
            return EXIT.ownFailure;
          }
          throw error;
        },
      );
    });
}

async function run(
  reference: string,
  words: string[],
  flags: Flags,
  command: Command,
): Promise<number> {
  if (words.length === 0) throw new UsageError("Say which command to run.");
  await using sandbox = await sandboxOf(command, reference);
  const handle = await sandbox.commands.start(flags.shell === true ? words.join(" ") : words, {
    cwd: flags.cwd,
    env: flags.env,
    user: flags.user,
    timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
    stdin: flags.interactive,
  });
  using _signals = passSignals((name) => handle.signal(name));
  if (flags.interactive === true) void feed(handle);
  if (flags.json !== true) {
    await Promise.all([
      copy(handle.stdout.bytes(), process.stdout),
      copy(handle.stderr.bytes(), process.stderr),
    ]);
  }
  const { gaps: _gaps, ...result } = await handle.wait();
  if (flags.json === true) print(flags, result, "");
  return result.exitCode;
}

/** Waits for a slow reader of this command's output, which holds the sandboxed program up in turn. */
async function copy(
  source: AsyncIterable<Uint8Array>,
  target: NodeJS.WritableStream,
): Promise<void> {
  for await (const bytes of source) {
    if (!target.write(bytes)) await new Promise((resolve) => target.once("drain", resolve));
  }
}

async function feed(handle: {
  write(bytes: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
}): Promise<void> {
  try {
    for await (const chunk of process.stdin) await handle.write(chunk as Uint8Array);
    await handle.closeStdin();
  } catch {
    // The command has ended, and with it the wish for input.
  }
}

/** Control-C and its kin go to the sandboxed command; a second one ends this program too. */
function passSignals(send: (name: string) => Promise<unknown>): Disposable {
  const names = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
  let times = 0;
  const pass = (name: NodeJS.Signals): void => {
    times += 1;
    if (times > 2) process.exit(130);
    send(name).catch(() => undefined);
  };
  for (const name of names) process.on(name, pass);
  return {
    [Symbol.dispose]: () => {
      for (const name of names) process.off(name, pass);
    },
  };
}
