import type { ApiKey } from "@insien/sandbox";
import type { Command } from "commander";
import { clientOf } from "../context.ts";
import { type OutputFlags, print, printList } from "../output/print.ts";
import { agoText } from "../output/quantity.ts";
import { missing } from "../usage-error.ts";

interface CreateFlags extends OutputFlags {
  owner?: string;
  admin?: boolean;
}

export function addKeys(program: Command): void {
  const key = program.command("key").description("Make and revoke API keys");
  key
    .command("ls", { isDefault: true })
    .alias("list")
    .description("List keys")
    .option("--json", "as JSON")
    .action(async (flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      printList(flags, await client.keys.list(), {
        headings: ["ID", "NAME", "KEY", "OWNER", "ADMIN", "CREATED", "LAST USED"],
        row: (each: ApiKey) => [
          each.id,
          each.name,
          `${each.prefix}...`,
          each.ownerId,
          each.admin ? "yes" : "no",
          agoText(each.createdAt),
          each.lastUsedAt && agoText(each.lastUsedAt),
        ],
        empty: "There are no keys.",
      });
    });
  key
    .command("create")
    .description("Make a key; its text is shown this once")
    .argument("<name>", "what it is for")
    .option("--owner <owner>", "share sandboxes with this owner's keys; a new owner by default")
    .option("--admin", "may make keys, set quotas and clean up")
    .option("--json", "as JSON")
    .action(async (name: string, flags: CreateFlags, command: Command) => {
      await using client = await clientOf(command);
      const created = await client.keys.create({ name, ownerId: flags.owner, admin: flags.admin });
      print(flags, created, created.key);
      if (process.stdout.isTTY && flags.json !== true)
        process.stderr.write("Keep it: it cannot be shown again.\n");
    });
  key
    .command("rm")
    .alias("revoke")
    .description("Revoke keys")
    .argument("<ids...>", "ids of keys")
    .option("--json", "as JSON")
    .action(async (ids: string[], flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      const results = await Promise.all(
        ids.map(async (id) => ({ id, revoked: await client.keys.revoke(id) })),
      );
      print(flags, results, () =>
        results.map((one) => (one.revoked ? `${one.id}\n` : "")).join(""),
      );
      const absent = results.filter(({ revoked }) => !revoked).map(({ id }) => id);
      if (absent.length > 0)
        throw missing(`There is no key ${absent.join(", ")}.`, "See `insien key ls`.");
    });
}
