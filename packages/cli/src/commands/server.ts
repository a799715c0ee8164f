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
        `Insien runs at ${server.url} (process ${server.pid}); its output is in ${server.log}.`,
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
  addPassedOn(program, "monitor", "Measure sandboxes in a process of its own (needs DATABASE_URL)");
  addPassedOn(
    program,
    "worker",
    "Clean up in a process of its own; --dry-run says what it would do",
  );
  addPassedOn(program, "doctor", "Check this machine, and say what to do about what is wrong");
}

/** Options are the program's own and are passed on as they are, `--help` too. */
function addPassedOn(program: Command, name: string, description: string): void {
  program
    .command(name)
    .description(description)
    .argument("[options...]")
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (options: string[]) => {
      process.exitCode = await runServerProgram([name, ...options]);
    });
}
