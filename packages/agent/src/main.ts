/** The process inside every machine. Started by the kit's command; settings come by environment. */
import { AGENT_PATHS, newId, type AgentEvent } from "@insien/protocol";
import { Activity } from "./control/activity.ts";
import { readBindRequest } from "./control/bind-body.ts";
import { makeAgentServer } from "./agent-server.ts";
import { takeSettings } from "./agent-settings.ts";
import { fileHandlers, handleFiles, watchHandlers } from "./files/index.ts";
import { IdleMemory } from "./idle-memory.ts";
import { Line, type Carrier } from "./line/line.ts";
import { unixCarrier } from "./line/unix-carrier.ts";
import { webSocketCarrier } from "./line/web-socket-carrier.ts";
import { metricsHandlers } from "./metrics/index.ts";
import { bindLibc } from "./native/libc.ts";
import { handleConnect, handlePortUpgrade, portHandlers } from "./ports/index.ts";
import { Accounts } from "./processes/accounts.ts";
import { Children } from "./processes/children.ts";
import { processDoor } from "./processes/process-handlers.ts";
import { ProcessTable } from "./processes/process-table.ts";
import { Dispatcher } from "./rpc/dispatcher.ts";
import { RpcServer } from "./rpc/rpc-server.ts";
import { SandboxState } from "./sandbox-state.ts";
import { makeShutdown } from "./shutdown.ts";
import { TerminalTable, terminalDoor } from "./terminals/index.ts";

const AGENT_VERSION = "0.1.0";

function main(): void {
  const settings = takeSettings(process.env);
  const libc = bindLibc();
  const memory = new IdleMemory(libc);
  const children = new Children(libc);
  const sandbox = new SandboxState(new Accounts(settings.user));
  const activity = new Activity(helloOf(settings.machineId, sandbox), () => ({
    commands: table.runningCount,
    terminals: terminals.size,
  }));
  const table: ProcessTable = new ProcessTable({
    libc,
    children,
    defaultsFor: (user) => sandbox.defaultsFor(user),
    report: (event) => {
      memory.touch();
      activity.report(event);
    },
  });
  const terminals: TerminalTable = new TerminalTable({
    libc,
    children,
    defaultsFor: (user) => sandbox.defaultsFor(user),
    onChange: () => {
      memory.touch();
      activity.changed();
    },
  });
  const processes = processDoor(table);
  const terminal = terminalDoor(terminals);
  const handlers = {
    ...processes.handlers,
    ...terminal.handlers,
    ...fileHandlers(sandbox),
    ...watchHandlers(sandbox),
    ...portHandlers(),
    ...metricsHandlers(sandbox),
    ping: () => ({ at: new Date().toISOString() }),
  };
  const dispatcher = new Dispatcher(handlers, {
    stdin: processes.stdinFrame,
    terminalInput: terminal.inputFrame,
  });
  const rpc = new RpcServer(dispatcher, libc.write);
  const shutdown = makeShutdown(libc, () =>
    [...table.running(), ...terminals.list()].map(({ pid }) => pid),
  );

  const server = makeAgentServer({
    requests: {
      [AGENT_PATHS.files]: (request, response) => handleFiles(request, response, sandbox),
      [AGENT_PATHS.events]: (_request, response) => activity.stream(response),
      [AGENT_PATHS.bind]: async (request, response) => {
        sandbox.bind(await readBindRequest(request));
        response.writeHead(204).end();
      },
      [AGENT_PATHS.shutdown]: (_request, response) => {
        response.writeHead(202).end(shutdown);
      },
    },
    upgrades: {
      [AGENT_PATHS.rpc]: (request, stream, head) => rpc.upgrade(request, stream, head),
      [AGENT_PATHS.ports]: handlePortUpgrade,
    },
    connect: handleConnect,
  });
  // Whatever one request runs into, the sandbox's other commands and connections go on.
  process.on("uncaughtException", (error) => console.error("insien-agent:", error));
  process.on("SIGTERM", shutdown);
  process.on("SIGINT", shutdown);
  new Line(carrierFor(settings), server).open();
}

/** The boot id tells a new process from an old one that dialled again. Made when first asked for. */
function helloOf(machineId: string, sandbox: SandboxState): () => AgentEvent {
  const startedAt = new Date().toISOString();
  let bootId: string | undefined;
  return () => {
    bootId ??= newId();
    const { home, user } = sandbox;
    return { type: "hello", version: AGENT_VERSION, machineId, bootId, home, user, startedAt };
  };
}

function carrierFor({ line, machineId, readToken }: ReturnType<typeof takeSettings>): Carrier {
  if (line.startsWith("unix:"))
    return unixCarrier(line.slice("unix:".length), machineId, readToken);
  return webSocketCarrier(line, machineId, readToken);
}

main();
