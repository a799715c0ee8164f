import type { SandboxId } from "@insien/protocol";
import {
  bigint,
  doublePrecision,
  index,
  integer,
  pgTable,
  primaryKey,
  text,
} from "drizzle-orm/pg-core";
import { sandboxes } from "../schema.ts";
import { instant } from "./instant.ts";

const bytes = (name: string) => bigint(name, { mode: "number" });

/** What each sandbox used: as measured, and rolled up into longer steps that are kept longer. */
export const usageSamples = pgTable(
  "usage_samples",
  {
    sandboxId: text("sandbox_id")
      .$type<SandboxId>()
      .notNull()
      .references(() => sandboxes.id, { onDelete: "cascade" }),
    /** What one row stands for, its end being `at`; 0 for a row as it was measured. */
    stepSeconds: integer("step_seconds").notNull(),
    at: instant("at").notNull(),
    cpuCores: doublePrecision("cpu_cores").notNull(),
    memoryBytes: bytes("memory_bytes").notNull(),
    memoryLimitBytes: bytes("memory_limit_bytes").notNull(),
    pids: integer().notNull(),
    networkReceivedBytes: bytes("network_received_bytes").notNull(),
    networkSentBytes: bytes("network_sent_bytes").notNull(),
    diskReadBytes: bytes("disk_read_bytes").notNull(),
    diskWrittenBytes: bytes("disk_written_bytes").notNull(),
    diskBytes: bytes("disk_bytes"),
  },
  (table) => [
    primaryKey({ columns: [table.sandboxId, table.stepSeconds, table.at] }),
    index("usage_samples_age").on(table.stepSeconds, table.at),
  ],
);
