import type { SandboxEvent } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, printLine } from "../output/print.ts";
import { harmlessJson, harmlessLine } from "../output/harmless.ts";
import { style } from "../output/style.ts";

interface Flags extends OutputFlags {
  follow?: boolean;
}

const POLL_MS = 1_000;
const ENDINGS: readonly string[] = ["sandbox.destroyed", "sandbox.failed"];

export function addEvents(program: Command): void {
  program
    .command("events")
    .description("Show what happened to a sandbox, oldest first")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("-f, --follow", "go on as things happen")
    .option("--json", "a JSON object per line")
    .action(async (reference: string, flags: Flags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      let after: number | undefined;
      for (;;) {
        let last: string | undefined;
        for await (const event of sandbox.events({ after })) {
          show(flags, event);
          after = event.sequence;
          last = event.type;
        }
        if (flags.follow !== true || (last !== undefined && ENDINGS.includes(last))) return;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    });
}

function show(flags: OutputFlags, event: SandboxEvent): void {
  if (flags.json === true) {
    printLine(event);
    return;
  }
  const data =
    Object.keys(event.data).length === 0 ? "" : ` ${harmlessJson(JSON.stringify(event.data))}`;
  const at = style("gray", event.at.toISOString());
  process.stdout.write(`${at}  ${style("bold", harmlessLine(event.type))}${data}\n`);
}
