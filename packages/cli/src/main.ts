#!/usr/bin/env node
/** `insien`: argv to SDK calls. Every failure is one sentence, what to do next, and an exit code. */
import { SandboxError } from "@insien/sandbox";
import { CommanderError } from "commander";
import { EXIT, exitCodeOf } from "./exit-codes.ts";
import { harmless } from "./output/harmless.ts";
import { style } from "./output/style.ts";
import { makeProgram } from "./program.ts";
import { UsageError } from "./usage-error.ts";

/** A reader that has seen enough, such as `head`, is no failure of ours. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? EXIT.ok : EXIT.failed);
});

function explain(error: unknown): void {
  const say = (text: string) => process.stderr.write(`${harmless(text)}\n`);
  const label = style("red", "error:", process.stderr);
  if (error instanceof UsageError) {
    say(`${label} ${error.message}`);
    if (error.hint !== undefined) say(error.hint);
  } else if (error instanceof SandboxError) {
    say(`${label} ${error.message}`);
    say(error.hint);
    if (error.code === "internal" && error.requestId !== undefined)
      say(`Request id: ${error.requestId}`);
  } else {
    say(`${label} ${error instanceof Error ? error.message : String(error)}`);
  }
}

const program = makeProgram().exitOverride();
for (const command of allCommands(program)) command.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    explain(error);
    process.exitCode = error instanceof UsageError ? error.exitCode : exitCodeOf(error);
  }
}
// Connections that are kept for the next call would keep the process for it.
process.exit();

function allCommands(command: ReturnType<typeof makeProgram>): (typeof command)[] {
  return command.commands.flatMap((each) => [each, ...allCommands(each)]);
}
