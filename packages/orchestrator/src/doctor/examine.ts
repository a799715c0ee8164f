import type { Runtime } from "@insien/runtime";
import type { Config } from "../config.ts";
import type { Check } from "./check.ts";
import { checkDatabase } from "./database-check.ts";
import { checkDataDirectory, checkMemory, checkPort } from "./host-checks.ts";
import { checkServer, findServer } from "./running-server.ts";
import { checkDocker, checkKit, checkRuntime } from "./runtime-checks.ts";

export interface DoctorParts {
  config: Config;
  openRuntime(): Promise<{ runtime: Runtime; reason: string }>;
  prepareKit(): Promise<{ directory: string }>;
}

/** Examines what a server needs, and changes nothing that a running one has. */
export async function examine({ config, ...parts }: DoctorParts): Promise<Check[]> {
  const { dataDirectory, host, port, webSocketPort } = config;
  const server = await findServer(dataDirectory);
  return [
    checkServer(server),
    await checkDataDirectory(dataDirectory),
    await checkPort({ variable: "PORT", port, host }, server),
    await checkPort({ variable: "WS_PORT", port: webSocketPort, host }, server),
    await checkDatabase(config.databaseUrl, server),
    await checkKit(parts.prepareKit),
    ...(await checkDocker(config.runtime, config.dockerSocket)),
    await checkRuntime(parts.openRuntime),
    await checkMemory(config.limits.memoryBytes),
  ];
}
