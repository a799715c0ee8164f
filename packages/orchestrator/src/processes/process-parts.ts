import type { Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { Config } from "../config.ts";
import type { Database } from "../db/index.ts";

/** What `main.ts` opened for the process that it was asked to be, and closes after it. */
export interface ProcessParts {
  config: Config;
  log: Logger;
  database: Database;
  runtime: Runtime;
  /** The data directory is the node: all processes on it have the same. */
  nodeId: string;
}
