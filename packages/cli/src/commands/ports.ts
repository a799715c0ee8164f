import type { PublishedPort } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, print, printList } from "../output/print.ts";
import { forwardPort } from "../port-forward.ts";
import { portOf, numberOf, secondsOf } from "../values.ts";

interface PublishFlags extends OutputFlags {
  subdomain?: string;
  public?: boolean;
}

interface LinkFlags extends OutputFlags {
  expires?: number;
}

interface Row extends Partial<PublishedPort> {
  internal: number;
  listening: boolean;
}

export function addPorts(program: Command): void {
  const ports = program
    .command("ports")
    .description("What listens in a sandbox, and how to reach it");
  addListing(ports);
  addPublishing(ports);
  ports
    .command("forward")
    .description("Make a sandbox's port a port of this machine, until Control-C")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<port>", "8080, or 9000:8080 with this machine's port first")
    .action(async (reference: string, text: string, _flags: object, command: Command) => {
      const { internal, external = internal } = portOf(text);
      await using sandbox = await sandboxOf(command, reference);
      await forwardPort(sandbox, { internal, local: external });
    });
}

function addListing(ports: Command): void {
  ports
    .command("ls", { isDefault: true })
    .alias("list")
    .description("List them")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("--json", "as JSON")
    .action(async (reference: string, flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const [listening, published] = await Promise.all([
        sandbox.ports.list(),
        sandbox.ports.published(),
      ]);
      const open = new Set(listening.map(({ port }) => port));
      const declared = new Set(published.map(({ internal }) => internal));
      const rows: Row[] = [
        ...published.map((port) => ({ ...port, listening: open.has(port.internal) })),
        ...[...open]
          .filter((port) => !declared.has(port))
          .map((internal) => ({ internal, listening: true })),
      ].sort((one, other) => one.internal - other.internal);
      printList(flags, rows, {
        headings: ["PORT", "LISTENING", "PUBLISHED", "ACCESS", "ADDRESS"],
        row: (row) => [
          String(row.internal),
          row.listening ? "yes" : "no",
          row.protocol ?? "no",
          row.protocol && (row.public === true ? "public" : "key or link"),
          [row.url, row.externalAddress].filter(Boolean).join(" "),
        ],
        empty: "Nothing listens and nothing is published.",
      });
    });
}

function addPublishing(ports: Command): void {
  ports
    .command("publish")
    .description("Open a port to the outside")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<port>", "8080, 9000:8080 (host first), 9000:5432/tcp")
    .option("--subdomain <name>", "a name of its own")
    .option("--public", "for everyone who has the address, without key or link")
    .option("--json", "as JSON")
    .action(async (reference: string, text: string, flags: PublishFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const { subdomain, public: isPublic } = flags;
      const port = await sandbox.ports.publish({ ...portOf(text), subdomain, public: isPublic });
      print(flags, port, () => addresses(port));
    });
  ports
    .command("unpublish")
    .description("Close it again")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<port>", "as in the sandbox", numberOf)
    .option("--json", "as JSON")
    .action(async (reference: string, port: number, flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const unpublished = await sandbox.ports.unpublish(port);
      print(flags, { unpublished }, unpublished ? "" : `Port ${port} was not published.`);
    });
  ports
    .command("link")
    .description("Make an address that opens a port for whoever has it, for a while")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<port>", "as in the sandbox", numberOf)
    .option("--expires <time>", "such as 30m or 2d", secondsOf)
    .option("--json", "as JSON")
    .action(async (reference: string, port: number, flags: LinkFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const link = await sandbox.ports.link(port, { expiresInSeconds: flags.expires });
      print(flags, link, `${link.url}\n${link.pathUrl}\n`);
    });
}

const addresses = ({ url, pathUrl, externalAddress }: PublishedPort): string =>
  [url, pathUrl, externalAddress].flatMap((each) => (each ? [`${each}\n`] : [])).join("");
