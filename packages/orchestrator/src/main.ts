/**
 * The orchestrator's processes: reads the configuration, chooses a runtime, opens the database, and
 * hands all of it to the process that was asked for. The only file that names concrete runtimes.
 */
import { join } from "node:path";
import { prepareKit } from "@insien/agent/kit";
import { InsienError, LIMITS } from "@insien/protocol";
import type { AgentKit, Runtime } from "@insien/runtime";
import { createBubblewrapRuntime } from "@insien/runtime-bubblewrap";
import { createDockerRuntime } from "@insien/runtime-docker";
import { pino } from "pino";
import { type Config, loadConfig } from "./config.ts";
import { readOrMakeSecret } from "./config/secret-file.ts";
import { openDatabase } from "./db/index.ts";
import { doctor } from "./processes/doctor.ts";
import { monitor } from "./processes/monitor.ts";
import { flagsOf } from "./processes/options.ts";
import { serve } from "./processes/serve.ts";
import { worker } from "./processes/worker.ts";

interface Choice {
  runtime: Runtime;
  /** For people: what spoke for it. */
  reason: string;
}

/** The one asked for, or docker when a daemon answers and bubblewrap otherwise. */
async function chooseRuntime(config: Config, kit: AgentKit, ownerId: string): Promise<Choice> {
  const docker = () =>
    createDockerRuntime({
      ownerId,
      kit,
      allowSudo: config.allowSudo,
      ...(config.registries === undefined ? {} : { registries: config.registries }),
      ...(config.dockerSocket === undefined ? {} : { socketPath: config.dockerSocket }),
    });
  const bubblewrap = () =>
    createBubblewrapRuntime({ ownerId, kit, dataDirectory: config.dataDirectory });
  const usable = async (runtime: Runtime, reason: string): Promise<Choice> => {
    await runtime.capabilities();
    return { runtime, reason };
  };
  if (config.runtime === "docker") return usable(docker(), "INSIEN_RUNTIME asks for it");
  if (config.runtime === "bubblewrap") return usable(bubblewrap(), "INSIEN_RUNTIME asks for it");
  try {
    return await usable(docker(), "a Docker daemon answers");
  } catch {
    return usable(
      bubblewrap(),
      "no Docker daemon answers, so sandboxes are process trees of this machine",
    );
  }
}

/** Two processes on one data directory would be one node twice. Throws `conflict`. */
async function holdDirectory(dataDirectory: string): Promise<Disposable> {
  const { lockDirectory } = await import("./db/directory-lock.ts");
  try {
    return lockDirectory(dataDirectory, process.pid, LIMITS.databaseLockMs.value);
  } catch (error) {
    throw new InsienError("conflict", error instanceof Error ? error.message : String(error));
  }
}

/** As `holdDirectory`, at once or not at all: for work that only the absence of a server allows. */
async function holdIdleDirectory(dataDirectory: string): Promise<Disposable | undefined> {
  const { lockDirectory } = await import("./db/directory-lock.ts");
  try {
    return lockDirectory(dataDirectory, process.pid, 0);
  } catch {
    return undefined;
  }
}

/** What there is to be asked for: the server, or what it otherwise does itself. */
const COMMANDS = ["serve", "monitor", "worker", "doctor"] as const;
type CommandName = (typeof COMMANDS)[number];
/** Of all commands together; one that does not know a flag refuses it. */
type Flag = "json" | "dry-run" | "once";
const FLAGS: Readonly<Record<CommandName, readonly Flag[]>> = {
  serve: [],
  monitor: [],
  worker: ["dry-run", "once"],
  doctor: ["json"],
};

function commandOf(text = "serve"): CommandName {
  const command = COMMANDS.find((name) => name === text);
  if (command !== undefined) return command;
  throw new InsienError(
    "invalid_request",
    `There is no command ${text}: it must be one of ${COMMANDS.join(", ")}`,
  );
}

/** Only PostgreSQL lets a second process in. */
function needSharedDatabase(command: CommandName, config: Config): void {
  if (config.databaseUrl !== undefined) return;
  throw new InsienError(
    "conflict",
    `The embedded database belongs to the server's process, which does the ${command}'s work ` +
      `itself. To run the ${command} apart, give both a PostgreSQL in DATABASE_URL.`,
  );
}

/** Opens what a process needs, in the order in which one depends on another, and closes it after. */
async function main([name, ...args]: string[]): Promise<number> {
  const command = commandOf(name);
  const flags = flagsOf(command, args, FLAGS[command]);
  const config = await loadConfig();
  if (command === "doctor") return examineHost(config, flags);
  const log = pino({ level: config.logLevel });
  await using resources = new AsyncDisposableStack();
  // The embedded database is open in one process at a time, which settles it; others are shared.
  if (command !== "serve") needSharedDatabase(command, config);
  else if (config.databaseUrl !== undefined)
    resources.use(await holdDirectory(config.dataDirectory));
  const kit = await prepareKit({ directory: config.dataDirectory });
  // A node is a data directory: its machines carry its id, and no other node touches them.
  const nodeId = await readOrMakeSecret(join(config.dataDirectory, "node-id"));
  const database = resources.use(
    await openDatabase({ dataDirectory: config.dataDirectory, url: config.databaseUrl }),
  );
  const { runtime, reason } = await chooseRuntime(config, kit, nodeId);
  resources.use(runtime);
  const parts = { config, log, database, runtime, nodeId };
  if (command === "serve") await serve(parts, reason);
  else if (command === "monitor") await monitor(parts);
  else await worker(parts, () => holdIdleDirectory(config.dataDirectory), flags);
  return 0;
}

function examineHost(config: Config, flags: ReadonlySet<Flag>): Promise<number> {
  const { dataDirectory } = config;
  const kitOf = () => prepareKit({ directory: dataDirectory });
  const openRuntime = async () =>
    chooseRuntime(config, await kitOf(), await readOrMakeSecret(join(dataDirectory, "node-id")));
  return doctor({ config, openRuntime, prepareKit: kitOf }, flags);
}

/** A sentence for what a person can mend, and the whole stack for what only we can. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof InsienError) {
    return error.code === "database_unavailable"
      ? `${error.message}. DATABASE_URL says where it is.`
      : error.message;
  }
  if ("code" in error && error.code === "EADDRINUSE" && "port" in error) {
    return `Port ${String(error.port)} is taken; choose others with PORT and WS_PORT (0 takes a free one).`;
  }
  return error.stack ?? error.message;
}

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`Insien could not start.\n${reasonOf(error)}\n`);
  process.exit(1);
}
