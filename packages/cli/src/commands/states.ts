import { Sandbox, type SandboxInfo } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxIdOf, sandboxOf, serverOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { stateText } from "../output/style.ts";
import { UsageError } from "../usage-error.ts";
import { secondsOf } from "../values.ts";

const VERBS = {
  stop: "Stop sandboxes and keep their files",
  start: "Start stopped sandboxes again",
  restart: "Stop sandboxes and start them again",
} as const;

interface TimeoutFlags extends OutputFlags {
  ttl?: number;
  idle?: number;
}

export function addStates(program: Command): void {
  for (const verb of ["stop", "start", "restart"] as const) {
    program
      .command(verb)
      .description(VERBS[verb])
      .argument("<sandboxes...>", "ids, beginnings of ids, or names")
      .option("--json", "as JSON")
      .action(async (references: string[], flags: OutputFlags, command: Command) => {
        const server = await serverOf(command);
        const ids = await Promise.all(references.map((each) => sandboxIdOf(server, each)));
        const infos = await Promise.all(
          ids.map(async (id) => {
            await using sandbox = await Sandbox.connect(id, server);
            return sandbox[verb]();
          }),
        );
        print(flags, infos, () => infos.map(line).join(""));
      });
  }
  program
    .command("timeout")
    .description("Set how long a sandbox lives from now, and how long it may idle; 0: for ever")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("--ttl <time>", "such as 30m or 2h", secondsOf)
    .option("--idle <time>", "such as 15m", secondsOf)
    .option("--json", "as JSON")
    .action(async (reference: string, flags: TimeoutFlags, command: Command) => {
      if (flags.ttl === undefined && flags.idle === undefined)
        throw new UsageError("Say --ttl, --idle or both.");
      await using sandbox = await sandboxOf(command, reference);
      const info = await sandbox.setTimeout({
        ttlSeconds: flags.ttl,
        idleTimeoutSeconds: flags.idle,
      });
      print(flags, info, () => line(info));
    });
}

const line = (info: SandboxInfo): string => `${info.id}  ${stateText(info.state)}\n`;
