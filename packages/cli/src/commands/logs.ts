import type { LogLine } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, printLine } from "../output/print.ts";
import { harmlessLine } from "../output/harmless.ts";
import { style } from "../output/style.ts";
import { numberOf } from "../values.ts";

interface Flags extends OutputFlags {
  follow?: boolean;
  tail?: number;
  timestamps?: boolean;
}

export function addLogs(program: Command): void {
  program
    .command("logs")
    .description("Show what a sandbox's main command printed")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("-f, --follow", "go on as it prints")
    .option("-n, --tail <lines>", "only the last so many", numberOf)
    .option("-t, --timestamps", "begin each line with its time")
    .option("--json", "a JSON object per line")
    .action(async (reference: string, flags: Flags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const lines = sandbox.logs({ follow: flags.follow, tail: flags.tail });
      for await (const line of lines) show(flags, line);
    });
}

function show(flags: Flags, line: LogLine): void {
  if (flags.json === true) {
    printLine(line);
    return;
  }
  const at = flags.timestamps === true ? `${line.at.toISOString()} ` : "";
  if (line.stream === "stdout") process.stdout.write(`${at}${line.text}\n`);
  // What Insien says of the command is no part of what the command printed.
  else if (line.stream === "system") {
    process.stderr.write(`${at}${style("gray", `[${harmlessLine(line.text)}]`, process.stderr)}\n`);
  } else process.stderr.write(`${at}${line.text}\n`);
}
