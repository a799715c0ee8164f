import type { MountChange, VolumeInfo } from "@insien/sandbox";
import { type Command, Option } from "commander";
import { clientOf, sandboxOf } from "../context.ts";
import { type OutputFlags, print, printList } from "../output/print.ts";
import { agoText } from "../output/quantity.ts";
import { missing, UsageError } from "../usage-error.ts";

interface CreateFlags extends OutputFlags {
  driver?: "local" | "nfs";
  size?: string;
  mountPath?: string;
  server?: string;
  path?: string;
  options?: string;
}

interface MountFlags extends OutputFlags {
  readOnly?: boolean;
}

export function addVolumes(program: Command): void {
  const volume = program.command("volume").description("Storage that sandboxes share");
  addListing(volume);
  addMaking(volume);
  addMounting(volume);
}

function addListing(volume: Command): void {
  volume
    .command("ls", { isDefault: true })
    .alias("list")
    .description("List volumes")
    .option("--json", "as JSON")
    .action(async (flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      printList(flags, await client.volumes.list(), {
        headings: ["NAME", "ID", "TYPE", "DRIVER", "SIZE", "CREATED", "MOUNTED IN"],
        row: (each: VolumeInfo) => [
          each.name,
          each.id,
          each.type,
          each.driver,
          each.size,
          agoText(each.createdAt),
          each.mounts.map(({ sandboxId, mountPath }) => `${sandboxId}:${mountPath}`).join(" "),
        ],
        empty: "There are no volumes. Make one with `insien volume create <name>`.",
      });
    });
}

function addMaking(volume: Command): void {
  volume
    .command("create")
    .description("Make a volume")
    .argument("<name>", "its name")
    .addOption(new Option("--driver <driver>", "where it lives").choices(["local", "nfs"]))
    .option("--size <size>", "such as 10g, where the driver can hold to it")
    .option("--mount-path <path>", "where it is mounted unless a mount says otherwise")
    .option("--server <host>", "driver nfs: the server")
    .option("--path <path>", "driver nfs: the exported path")
    .option("--options <options>", "driver nfs: mount options such as vers=4,soft")
    .option("--json", "as JSON")
    .action(async (name: string, flags: CreateFlags, command: Command) => {
      const { driver, size, mountPath, server, path } = flags;
      if (driver === "nfs" && (server === undefined || path === undefined))
        throw new UsageError("Driver nfs needs --server and --path.");
      await using client = await clientOf(command);
      const made = await client.volumes.create({
        name,
        driver,
        size,
        mountPath,
        options:
          server === undefined || path === undefined
            ? undefined
            : { server, path, mountOptions: flags.options },
      });
      print(flags, made, made.name);
    });
  volume
    .command("rm")
    .description("Delete volumes, with their files")
    .argument("<volumes...>", "names or ids")
    .option("--json", "as JSON")
    .action(async (names: string[], flags: OutputFlags, command: Command) => {
      await using client = await clientOf(command);
      for (const name of names) {
        if (!(await client.volumes.delete(name)))
          throw missing(`There is no volume ${name}.`, "See `insien volume ls`.");
      }
      print(flags, names, () => names.map((name) => `${name}\n`).join(""));
    });
}

function addMounting(volume: Command): void {
  volume
    .command("mount")
    .description("Mount a volume in a sandbox")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<volume>", "name or id")
    .argument("[path]", "where; the volume's own by default")
    .option("--read-only", "it cannot be written there")
    .option("--json", "as JSON")
    .action(async (...call: [string, string, string | undefined, MountFlags, Command]) => {
      const [reference, name, mountPath, flags, command] = call;
      await using sandbox = await sandboxOf(command, reference);
      const { readOnly } = flags;
      tell(flags, await sandbox.volumes.mount(name, { mountPath, readOnly }));
    });
  volume
    .command("unmount")
    .alias("umount")
    .description("Take a volume out of a sandbox; its files stay in it")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<volume>", "name or id")
    .option("--json", "as JSON")
    .action(async (reference: string, name: string, flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      tell(flags, await sandbox.volumes.unmount(name));
    });
}

const tell = (flags: OutputFlags, change: MountChange): void => print(flags, change, change.note);
