import { pino } from "pino";
import { ExecutionRecord } from "../src/app/execution-record.ts";
import { MainRecord } from "../src/app/main-record.ts";
import type { Database } from "../src/db/index.ts";

const log = pino({ level: "silent" });

/** What is written down of the sandboxes that run. */
export const recordsOf = (database: Database) => ({
  executions: new ExecutionRecord(database.events, log),
  mains: new MainRecord(database.sandboxes, log),
});
