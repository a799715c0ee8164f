import { readFileSync } from "node:fs";
import { AGENT_ENVIRONMENT, MACHINE_PATHS } from "@insien/protocol";

export interface AgentSettings {
  /** `unix:/path`, `ws://…` or `wss://…`. */
  line: string;
  machineId: string;
  readToken: () => string;
  /** The default user of commands. */
  user: string | undefined;
}

/**
 * Takes the agent's settings out of the environment: what is read is also deleted there, so that no
 * command can come to see it.
 */
export function takeSettings(environment: NodeJS.ProcessEnv): AgentSettings {
  const take = (name: keyof typeof AGENT_ENVIRONMENT): string | undefined => {
    const variable = AGENT_ENVIRONMENT[name];
    const value = environment[variable];
    delete environment[variable];
    return value === "" ? undefined : value;
  };
  const token = take("token");
  const tokenFile = take("tokenFile") ?? `${MACHINE_PATHS.line}/token`;
  return {
    line: take("line") ?? `unix:${MACHINE_PATHS.line}/line.sock`,
    machineId: take("machineId") ?? "",
    readToken: () => token ?? readFileSync(tokenFile, "utf8").trim(),
    user: take("user"),
  };
}
