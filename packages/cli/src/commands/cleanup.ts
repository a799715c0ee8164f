import type { CleanupItem } from "@insien/sandbox";
import type { Command } from "commander";
import { clientOf } from "../context.ts";
import { EXIT } from "../exit-codes.ts";
import { type OutputFlags, printList } from "../output/print.ts";
import { bytesText } from "../output/quantity.ts";

interface Flags extends OutputFlags {
  dryRun?: boolean;
}

export function addCleanup(program: Command): void {
  program
    .command("cleanup")
    .description("Remove what belongs to nobody any more (admin); the worker does it by itself")
    .option("--dry-run", "only say what it would remove")
    .option("--json", "as JSON")
    .action(async (flags: Flags, command: Command) => {
      await using client = await clientOf(command);
      const { items } = await client.maintenance.cleanup({ dryRun: flags.dryRun });
      printList(flags, items, {
        headings: ["KIND", "ID", "SIZE", "DONE", "WHY"],
        row: (item: CleanupItem) => [
          item.kind,
          item.id,
          item.bytes === undefined ? undefined : bytesText(item.bytes),
          item.error ?? (item.removed === true ? "removed" : "no"),
          item.reason,
        ],
        empty: "There is nothing to remove.",
      });
      if (items.some(({ error }) => error !== undefined)) process.exitCode = EXIT.failed;
    });
}
