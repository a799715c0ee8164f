import type { TerminalHandle } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { collectVariable, commandWords } from "../values.ts";
import { UsageError } from "../usage-error.ts";

interface Flags {
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  attach?: string;
}

/** Given back to the terminal when the shell ends: attributes, cursor, mouse, screen, paste mode. */
const RESTORE =
  "\u{1b}[0m\u{1b}[?25h\u{1b}[?1000l\u{1b}[?1002l\u{1b}[?1003l\u{1b}[?1006l\u{1b}[?2004l";

export function addShell(program: Command): void {
  program
    .command("shell")
    .alias("sh")
    .description("Open a terminal in a sandbox")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("[command...]", "instead of the user's shell")
    .option("-w, --cwd <directory>", "where to begin")
    .option("-e, --env <name=value>", "a variable, repeatable", collectVariable)
    .option("-u, --user <user>", "who it is")
    .option("--attach <terminal>", "join a terminal that is open already")
    .passThroughOptions()
    .action(async (reference: string, words: string[], flags: Flags, command: Command) => {
      if (!process.stdin.isTTY || !process.stdout.isTTY) {
        throw new UsageError(
          "`insien shell` needs a terminal.",
          "In a script, use `insien exec` (with -i to pass input on).",
        );
      }
      await using sandbox = await sandboxOf(command, reference);
      const terminal = await open(sandbox, commandWords(words), flags);
      process.exitCode = await converse(terminal);
    });
}

type Sandbox = Awaited<ReturnType<typeof sandboxOf>>;

/** Some terminals do not know their size: they get the classic one. */
const size = () => ({ cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 });

function open(sandbox: Sandbox, words: string[], flags: Flags): Promise<TerminalHandle> {
  const onData = (bytes: Uint8Array): Promise<void> | undefined =>
    process.stdout.write(bytes)
      ? undefined
      : new Promise((resolve) => process.stdout.once("drain", resolve));
  if (flags.attach !== undefined) return sandbox.terminals.attach(flags.attach, { onData });
  return sandbox.terminals.open({
    onData,
    command: words.length === 0 ? undefined : words,
    cwd: flags.cwd,
    user: flags.user,
    env: { TERM: process.env["TERM"] ?? "xterm-256color", ...flags.env },
    ...size(),
  });
}

/** Every key goes to the sandbox, Control-C too; the terminal is given back as it was. */
async function converse(terminal: TerminalHandle): Promise<number> {
  const { stdin, stdout } = process;
  const type = (bytes: Uint8Array): void => void terminal.write(bytes).catch(() => undefined);
  const resize = (): void => {
    const { cols, rows } = size();
    terminal.resize(cols, rows).catch(() => undefined);
  };
  stdin.setRawMode(true);
  stdin.on("data", type).resume();
  stdout.on("resize", resize);
  resize();
  try {
    return (await terminal.wait()).exitCode;
  } finally {
    stdin.off("data", type).pause();
    stdout.off("resize", resize);
    stdin.setRawMode(false);
    stdout.write(RESTORE);
  }
}
