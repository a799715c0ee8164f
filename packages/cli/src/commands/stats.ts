import { Sandbox, type SandboxInfo, type UsageSample } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxIdOf, serverOf } from "../context.ts";
import { type OutputFlags, printList } from "../output/print.ts";
import { bytesText } from "../output/quantity.ts";
import type { ServerAddress } from "../connection.ts";

/** Long enough that the monitor has measured once or twice. */
const RECENT_MS = 60_000;

interface Usage {
  sandbox: SandboxInfo;
  sample: UsageSample | undefined;
}

export function addStats(program: Command): void {
  program
    .command("stats")
    .alias("top")
    .description("Show what running sandboxes use")
    .argument("[sandboxes...]", "all of yours by default")
    .option("--json", "as JSON")
    .action(async (references: string[], flags: OutputFlags, command: Command) => {
      const server = await serverOf(command);
      const wanted = new Set(
        await Promise.all(references.map((reference) => sandboxIdOf(server, reference))),
      );
      const running = await Array.fromAsync(Sandbox.list({ ...server, state: "running" }));
      const chosen = running.filter(({ id }) => wanted.size === 0 || wanted.has(id));
      const usages = await Promise.all(chosen.map((sandbox) => latest(server, sandbox)));
      if (flags.json === true) {
        const plain = usages.map(({ sandbox: { id, name }, sample }) => ({ id, name, ...sample }));
        printList(flags, plain, { headings: [], row: () => [], empty: "" });
        return;
      }
      printList(flags, usages, {
        headings: ["ID", "NAME", "CPU", "MEMORY", "PROCESSES", "NETWORK IN/OUT", "DISK"],
        row,
        empty: "No sandbox runs.",
      });
    });
}

async function latest(server: ServerAddress, info: SandboxInfo): Promise<Usage> {
  await using sandbox = await Sandbox.connect(info.id, server);
  const { items } = await sandbox.usage({ from: new Date(Date.now() - RECENT_MS) });
  return { sandbox: info, sample: items.at(-1) };
}

function row({ sandbox, sample }: Usage): (string | undefined)[] {
  if (sample === undefined) return [sandbox.id, sandbox.name, "not measured yet"];
  return [
    sandbox.id,
    sandbox.name,
    `${sample.cpuCores.toFixed(2)}/${sandbox.resources.cpu}`,
    `${bytesText(sample.memoryBytes)}/${bytesText(sample.memoryLimitBytes)}`,
    `${sample.pids}/${sandbox.resources.pids}`,
    `${bytesText(sample.networkReceivedBytes)}/${bytesText(sample.networkSentBytes)}`,
    sample.diskBytes === undefined ? undefined : bytesText(sample.diskBytes),
  ];
}
