/** A real agent out of a real kit, run on this host rather than in a machine. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { AGENT_ENVIRONMENT, MACHINE_PATHS } from "@insien/protocol";
import type { AgentKit } from "@insien/runtime";
import { prepareKit } from "../src/kit.ts";
import { LineServer } from "./line-server.ts";

const kitDirectory = join(tmpdir(), `insien-test-kit-${userInfo().uid}`);

export async function testKit(): Promise<AgentKit> {
  await mkdir(kitDirectory, { recursive: true });
  return prepareKit({ directory: kitDirectory });
}

/** The kit's command as this host sees its files. */
export const hostCommand = (kit: AgentKit): string[] =>
  kit.command.map((part) => part.replace(MACHINE_PATHS.kit, kit.directory));

export interface TestAgent extends AsyncDisposable {
  line: LineServer;
  child: ChildProcess;
}

export interface TestAgentOptions {
  env?: Record<string, string>;
  /** Put before the command, such as `unshare`. */
  wrapper?: string[];
  line?: LineServer;
  address?: string;
}

export async function startAgent(options: TestAgentOptions = {}): Promise<TestAgent> {
  const kit = await testKit();
  const line = options.line ?? (await LineServer.listen());
  const [file = "", ...args] = [...(options.wrapper ?? []), ...hostCommand(kit)];
  const child = spawn(file, args, {
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...kit.environment,
      [AGENT_ENVIRONMENT.line]: options.address ?? `unix:${line.socketPath}`,
      [AGENT_ENVIRONMENT.machineId]: "testmachine",
      [AGENT_ENVIRONMENT.tokenFile]: join(line.directory, "token"),
      ...options.env,
    },
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  return {
    line,
    child,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
      await line[Symbol.asyncDispose]();
    },
  };
}
