import type { Server } from "node:http";
import { AGENT_PATHS, newId, type AgentEvent } from "@insien/protocol";
import { makeAgentServer } from "./agent-server.ts";
import { handleArchive } from "./archive/index.ts";
import { Activity } from "./control/activity.ts";
import { readBindRequest } from "./control/bind-body.ts";
import { Log, Supervisor, handleLogs, handleMainControl } from "./main-command/index.ts";
import { fileHandlers, handleFiles, watchHandlers } from "./files/index.ts";
import { metricsHandlers } from "./metrics/index.ts";
import type { Libc } from "./native/libc.ts";
import { handleConnect, handlePortUpgrade, portHandlers } from "./ports/index.ts";
import type { Children } from "./processes/children.ts";
import { processDoor } from "./processes/process-handlers.ts";
import { ProcessTable } from "./processes/process-table.ts";
import { Dispatcher } from "./rpc/dispatcher.ts";
import { RpcServer } from "./rpc/rpc-server.ts";
import type { SandboxState } from "./sandbox-state.ts";
import { makeShutdown } from "./shutdown.ts";
import { TerminalTable, terminalDoor } from "./terminals/index.ts";

const AGENT_VERSION = "0.1.0";

export interface AgentParts {
  libc: Libc;
  children: Children;
  sandbox: SandboxState;
  machineId: string;
  /** Something happened: a command, a terminal, an answer. */
  onActivity: () => void;
}

export interface Agent {
  /** To be fed with line connections. */
  server: Server;
  /** Ends all that runs, then the process. */
  shutdown: () => void;
}

/** All that the agent can do, put together behind one HTTP server. */
export function makeAgent({ libc, children, sandbox, machineId, onActivity }: AgentParts): Agent {
  const activity = new Activity(
    helloOf(machineId, sandbox),
    () => ({ commands: table.runningCount, terminals: terminals.size }),
    () => (main.status === undefined ? [] : [main.status]),
  );
  const table: ProcessTable = new ProcessTable({
    libc,
    children,
    defaultsFor: (user) => sandbox.defaultsFor(user),
    report: (event) => {
      onActivity();
      activity.report(event);
    },
  });
  const terminals: TerminalTable = new TerminalTable({
    libc,
    children,
    defaultsFor: (user) => sandbox.defaultsFor(user),
    onChange: () => {
      onActivity();
      activity.changed();
    },
  });
  const log = new Log();
  const main: Supervisor = new Supervisor({
    table,
    libc,
    log,
    report: (event) => activity.report(event),
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
  const rpc = new RpcServer(dispatcher, libc.write, onActivity);
  const endAll = makeShutdown(libc, () =>
    [...table.running(), ...terminals.list()].map(({ pid }) => pid),
  );
  const shutdown = (): void => {
    main.close();
    endAll();
  };
  const server = makeAgentServer({
    requests: {
      [AGENT_PATHS.files]: (request, response) => handleFiles(request, response, sandbox),
      [AGENT_PATHS.events]: (_request, response) => activity.stream(response),
      [AGENT_PATHS.archive]: (request, response) => handleArchive(request, response, sandbox),
      [AGENT_PATHS.logs]: (request, response) => handleLogs(request, response, log),
      [AGENT_PATHS.main]: (request, response) => handleMainControl(request, response, main),
      [AGENT_PATHS.bind]: async (request, response) => {
        const binding = await readBindRequest(request);
        sandbox.bind(binding);
        if (binding.main !== undefined) main.bind(binding.main);
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
  return { server, shutdown };
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
