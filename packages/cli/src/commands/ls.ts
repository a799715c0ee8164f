import { Sandbox, type SandboxInfo, type SandboxState } from "@insien/sandbox";
import { SANDBOX_STATES } from "@insien/protocol";
import { type Command, Option } from "commander";
import { serverOf } from "../context.ts";
import { type OutputFlags, printList } from "../output/print.ts";
import { agoText, spanText } from "../output/quantity.ts";
import { stateText } from "../output/style.ts";

interface Flags extends OutputFlags {
  state?: SandboxState;
  quiet?: boolean;
}

const HEADINGS = ["ID", "NAME", "STATE", "MAIN", "TEMPLATE", "CPU", "MEMORY", "CREATED", "EXPIRES"];

export function addList(program: Command): void {
  program
    .command("ls")
    .alias("list")
    .description("List your sandboxes, newest first")
    .addOption(new Option("-s, --state <state>", "only those in it").choices(SANDBOX_STATES))
    .option("-q, --quiet", "ids alone, a line each")
    .option("--json", "as JSON")
    .action(async (flags: Flags, command: Command) => {
      const server = await serverOf(command);
      const sandboxes = await Array.fromAsync(Sandbox.list({ ...server, state: flags.state }));
      if (flags.quiet === true) {
        process.stdout.write(sandboxes.map(({ id }) => `${id}\n`).join(""));
        return;
      }
      printList(flags, sandboxes, {
        headings: HEADINGS,
        row,
        empty: "There are no sandboxes. Make one with `insien create`.",
      });
    });
}

const row = (sandbox: SandboxInfo): (string | undefined)[] => [
  sandbox.id,
  sandbox.name,
  stateText(sandbox.state),
  sandbox.main && stateText(sandbox.main.state),
  sandbox.image ?? sandbox.template,
  String(sandbox.resources.cpu),
  sandbox.resources.memory,
  agoText(sandbox.createdAt),
  sandbox.expiresAt && `in ${spanText(sandbox.expiresAt.getTime() - Date.now())}`,
];
