import type { QuotaInfo } from "@insien/sandbox";
import type { Command } from "commander";
import { clientOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { bytesText } from "../output/quantity.ts";
import { table } from "../output/table.ts";
import { numberOf } from "../values.ts";
import { UsageError } from "../usage-error.ts";

interface SetFlags extends OutputFlags {
  sandboxes?: number | null;
  cpu?: number | null;
  memory?: string | null;
  disk?: string | null;
  createsPerMinute?: number | null;
}

const boundOf = (text: string): number | null => (text === "none" ? null : numberOf(text));
const sizeOf = (text: string): string | null => (text === "none" ? null : text);

export function addQuota(program: Command): void {
  const quota = program
    .command("quota")
    .description("What an owner may have at once, and how fast");
  quota
    .command("show", { isDefault: true })
    .description("Show yours, or another owner's (admin)")
    .argument("[owner]", "an owner's id, see `insien key ls`")
    .option("--json", "as JSON")
    .action(async (owner: string | undefined, flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      const info = await (owner === undefined ? client.quota.get() : client.quota.of(owner));
      print(flags, info, () => describe(info));
    });
  quota
    .command("set")
    .description("Bound an owner (admin); `none` for no bound")
    .argument("<owner>", "an owner's id")
    .option("--sandboxes <count>", "that are not destroyed", boundOf)
    .option("--cpu <cores>", "of running ones together", boundOf)
    .option("--memory <size>", "of running ones together, such as 16g", sizeOf)
    .option("--disk <size>", "of sandboxes and volumes together", sizeOf)
    .option("--creates-per-minute <count>", "how fast", boundOf)
    .option("--json", "as JSON")
    .action(async (owner: string, flags: SetFlags, command: Command) => {
      const { json: _, ...settings } = flags;
      if (Object.keys(settings).length === 0) throw new UsageError("Say which bound to set.");
      await using client = await clientOf(command);
      const info = await client.quota.set(owner, settings);
      print(flags, info, () => describe(info));
    });
  quota
    .command("reset")
    .description("Back to the server's defaults (admin)")
    .argument("<owner>", "an owner's id")
    .option("--json", "as JSON")
    .action(async (owner: string, flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      const reset = await client.quota.reset(owner);
      print(flags, { reset }, reset ? "The server's defaults hold again." : "They held already.");
    });
}

function describe({ limits, used }: QuotaInfo): string {
  const count = (value: number | null | undefined): string =>
    value === undefined ? "" : String(value ?? "none");
  const size = (value: number | null): string => (value === null ? "none" : bytesText(value));
  return table(
    ["QUOTA", "USED", "LIMIT"],
    [
      ["sandboxes", count(used.sandboxes), count(limits.sandboxes)],
      ["cpu", count(used.cpu), count(limits.cpu)],
      ["memory", size(used.memoryBytes), size(limits.memoryBytes)],
      ["disk", size(used.diskBytes), size(limits.diskBytes)],
      ["creates per minute", "", count(limits.createsPerMinute)],
    ],
  );
}
