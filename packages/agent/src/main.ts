/** The process inside every machine. Started by the kit's command; settings come by environment. */
import { makeAgent } from "./agent.ts";
import { takeSettings } from "./agent-settings.ts";
import { IdleMemory } from "./idle-memory.ts";
import { Line, type Carrier } from "./line/line.ts";
import { unixCarrier } from "./line/unix-carrier.ts";
import { webSocketCarrier } from "./line/web-socket-carrier.ts";
import { bindLibc } from "./native/libc.ts";
import { Accounts } from "./processes/accounts.ts";
import { Children } from "./processes/children.ts";
import { rehearseWhenIdle } from "./rehearsal.ts";
import { SandboxState } from "./sandbox-state.ts";

function main(): void {
  const settings = takeSettings(process.env);
  const { machineId, user } = settings;
  const libc = bindLibc();
  const children = new Children(libc);
  const memory = new IdleMemory(libc);
  const onActivity = () => memory.touch();
  const state = () => new SandboxState(new Accounts(user));
  const agent = makeAgent({ libc, children, sandbox: state(), machineId, onActivity });
  // Whatever one request runs into, the sandbox's other commands and connections go on.
  process.on("uncaughtException", (error) => console.error("insien-agent:", error));
  process.on("SIGTERM", agent.shutdown);
  process.on("SIGINT", agent.shutdown);
  memory.watch(agent.server);
  new Line(carrierFor(settings), agent.server).open();
  rehearseWhenIdle(agent.server, libc, () =>
    makeAgent({ libc, children, sandbox: state(), machineId, onActivity: () => undefined }),
  );
}

function carrierFor({ line, machineId, readToken }: ReturnType<typeof takeSettings>): Carrier {
  if (line.startsWith("unix:"))
    return unixCarrier(line.slice("unix:".length), machineId, readToken);
  return webSocketCarrier(line, machineId, readToken);
}

main();
