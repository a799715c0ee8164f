import { Sandbox } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxIdOf, serverOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { UsageError } from "../usage-error.ts";

interface Flags extends OutputFlags {
  all?: boolean;
}

const AT_ONCE = 8;

export function addRemove(program: Command): void {
  program
    .command("rm")
    .alias("destroy")
    .description("Destroy sandboxes, with their files")
    .argument("[sandboxes...]", "ids, beginnings of ids, or names")
    .option("--all", "every sandbox of yours")
    .option("--json", "as JSON")
    .action(async (references: string[], flags: Flags, command: Command) => {
      if ((references.length === 0) !== (flags.all === true))
        throw new UsageError("Say which sandboxes, or --all.");
      const server = await serverOf(command);
      const ids =
        flags.all === true
          ? (await Array.fromAsync(Sandbox.list(server))).map(({ id }) => id)
          : await Promise.all(references.map((each) => sandboxIdOf(server, each)));
      const destroyed = await inParallel([...new Set(ids)], async (id) => {
        await using sandbox = await Sandbox.connect(id, server);
        return { id, destroyed: await sandbox.destroy() };
      });
      print(flags, destroyed, () => destroyed.map(({ id }) => `${id}\n`).join(""));
    });
}

async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) results.push(await work(item));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return results;
}
