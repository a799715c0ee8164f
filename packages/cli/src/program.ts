/** The whole command line: every command with its options, and what is common to all. */
import { Command, Option } from "commander";
import { addCleanup } from "./commands/cleanup.ts";
import { addCopy } from "./commands/cp.ts";
import { addCreate } from "./commands/create.ts";
import { addEnvironment } from "./commands/env.ts";
import { addEvents } from "./commands/events.ts";
import { addExec } from "./commands/exec.ts";
import { addExport } from "./commands/export.ts";
import { addKeys } from "./commands/key.ts";
import { addList } from "./commands/ls.ts";
import { addLogs } from "./commands/logs.ts";
import { addPorts } from "./commands/ports.ts";
import { addQuota } from "./commands/quota.ts";
import { addRemove } from "./commands/rm.ts";
import { addServerProcesses } from "./commands/server.ts";
import { addShell } from "./commands/shell.ts";
import { addShow } from "./commands/show.ts";
import { addStats } from "./commands/stats.ts";
import { addStates } from "./commands/states.ts";
import { addVolumes } from "./commands/volume.ts";
import { addWebhooks } from "./commands/webhook.ts";
import packageJson from "../package.json" with { type: "json" };

const EXIT_CODES = `
Exit codes:
  0 done   1 failed   2 wrong usage   3 not found   4 server unreachable   5 refused (key, quota)
  124 timed out   125 \`exec\` or \`shell\` failed itself; their other codes are the command's own

Environment:
  INSIEN_API_URL, INSIEN_API_KEY   which server, and its key
  INSIEN_DATA_DIR                  a server of this machine is found here (.insien) without either
  NO_COLOR                         no colours
`;

export function makeProgram(): Command {
  const program = new Command("insien")
    .description("Sandboxes for code you did not write.")
    .version(packageJson.version)
    .addOption(new Option("--url <url>", "the server's address"))
    .addOption(new Option("--api-key <key>", "its key (better: INSIEN_API_KEY)"))
    .showHelpAfterError("See `insien help`, and `insien help <command>`, for what there is.")
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .addHelpText("after", EXIT_CODES);
  program.commandsGroup("Sandboxes:");
  addCreate(program);
  addList(program);
  addShow(program);
  addExec(program);
  addShell(program);
  addCopy(program);
  addExport(program);
  addLogs(program);
  addPorts(program);
  addEnvironment(program);
  addStats(program);
  addEvents(program);
  addStates(program);
  addRemove(program);
  program.commandsGroup("Account:");
  addVolumes(program);
  addKeys(program);
  addWebhooks(program);
  addQuota(program);
  addCleanup(program);
  program.commandsGroup("Server:");
  addServerProcesses(program);
  return program;
}
