import type { Command } from "commander";
import { dataDirectory } from "../connection.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { runServerProgram, startDetached, stopServer } from "../server-program.ts";

interface UpFlags extends OutputFlags {
  detach?: boolean;
}

/** The server and its kin are programs of their own; these commands start and stop them. */
export function addServerProcesses(program: Command): void {
  program
    .command("up")
    .description("Start the server on this machine, configured by the environment and .env")
    .option(
      "-d, --detach",
      "in the background; its output goes to server.log in the data directory",
    )
    .option("--json", "with --detach: where it is, as JSON")
    .action(async (flags: UpFlags) => {
      if (flags.detach !== true) {
        process.exitCode = await runServerProgram(["serve"]);
        return;
      }
      const server = await startDetached(dataDirectory());
      print(
        flags,
        server,
        `Insien runs at ${server.url} (process ${server.pid}); its output is in ${server.log}.\n` +
          "In this directory `insien` needs no key; for other programs it is shown in that file.",
      );
    });
  program
    .command("down")
    .description(
      "Stop the server of this machine; sandboxes stay unless INSIEN_ON_STOP says destroy",
    )
    .option("--json", "as JSON")
    .action(async (flags: OutputFlags) => {
      const stopped = await stopServer(dataDirectory());
      print(
        flags,
        { stopped },
        stopped ? "The server has stopped." : "No server runs from this directory.",
      );
    });
  addProcess(program, "monitor", {
    description: "Measure sandboxes in a process of its own (needs DATABASE_URL)",
  });
  addProcess(program, "worker", {
    description: "Clean up in a process of its own (needs DATABASE_URL)",
    options: {
      "--once": "do it once and end",
      "--dry-run": "only say what it would remove, and end",
    },
  });
  addProcess(program, "doctor", {
    description: "Check this machine, and say what to do about what is wrong",
    options: { "--json": "as JSON" },
  });
}

/** What the server's program does under the same name, with the same options. */
function addProcess(
  program: Command,
  name: string,
  { description, options = {} }: { description: string; options?: Record<string, string> },
): void {
  const command = program.command(name).description(description);
  for (const [option, meaning] of Object.entries(options)) command.option(option, meaning);
  command.action(async () => {
    const given = Object.keys(options).filter(
      (option) => command.getOptionValueSource(camelCase(option)) === "cli",
    );
    process.exitCode = await runServerProgram([name, ...given]);
  });
}

/** As commander calls an option's value. */
const camelCase = (option: string): string =>
  option.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
