/**
 * The sandboxes and what they cannot be without; further tables are beside, in schema/. `npx
 * drizzle-kit generate` (in packages/orchestrator) turns a change made here into a migration, which
 * is applied at the next start on PGlite and PostgreSQL alike.
 *
 * Instants are made by the orchestrator, in milliseconds, so that a row read back equals the one
 * written; tables refer to owners by their bare id, because an owner is nothing but an id.
 */
import type { CommandLine, MachineId, MainStatus, SandboxId, SandboxState } from "@insien/protocol";
import { desc, sql } from "drizzle-orm";
import {
  bigint,
  bigserial,
  boolean,
  check,
  doublePrecision,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import { instant } from "./schema/instant.ts";
import { jsonValue } from "./schema/json-value.ts";

/** One row: who this installation is to the runtimes it shares hosts with. */
export const installation = pgTable(
  "installation",
  {
    id: text().primaryKey(),
    /** Machines carry it; nothing without it is ever touched. */
    ownerLabel: text("owner_label").notNull(),
    createdAt: instant("created_at").notNull(),
    singleton: boolean().notNull().default(true).unique(),
  },
  (table) => [check("installation_singleton", sql`${table.singleton}`)],
);

export const apiKeys = pgTable(
  "api_keys",
  {
    id: text().primaryKey(),
    name: text().notNull(),
    ownerId: text("owner_id").notNull(),
    /** The first characters of the key, to tell keys apart. */
    prefix: text().notNull(),
    /** SHA-256 of the key in hexadecimal; the key itself is kept nowhere. Nodes may share one. */
    hash: text().notNull(),
    admin: boolean().notNull(),
    createdAt: instant("created_at").notNull(),
    lastUsedAt: instant("last_used_at"),
    revokedAt: instant("revoked_at"),
  },
  (table) => [
    index("api_keys_owner").on(table.ownerId, table.createdAt),
    index("api_keys_hash").on(table.hash),
  ],
);

/** Running orchestrators. One that stops beating its heart no longer holds its sandboxes. */
export const nodes = pgTable("nodes", {
  id: text().primaryKey(),
  /** Where its doors can be reached by the other nodes. */
  url: text().notNull(),
  startedAt: instant("started_at").notNull(),
  heartbeatAt: instant("heartbeat_at").notNull(),
});

export const sandboxes = pgTable(
  "sandboxes",
  {
    id: text().$type<SandboxId>().primaryKey(),
    ownerId: text("owner_id").notNull(),
    name: text(),
    template: text().notNull(),
    image: text(),
    state: text().$type<SandboxState>().notNull(),
    stateReason: text("state_reason"),
    runtime: text().notNull(),
    cpu: doublePrecision().notNull(),
    memoryBytes: bigint("memory_bytes", { mode: "number" }).notNull(),
    pids: integer().notNull(),
    network: text().$type<"none" | "internet">().notNull(),
    readOnly: boolean("read_only").notNull().default(false),
    gpu: text(),
    entrypoint: jsonValue().$type<CommandLine>(),
    command: jsonValue().$type<CommandLine>(),
    maxRetries: integer("max_retries").notNull().default(0),
    /** What its agent last said of the main command; changes no version. */
    main: jsonb().$type<MainStatus>(),
    /** Its own files, as last measured; changes no version. */
    diskBytes: bigint("disk_bytes", { mode: "number" }),
    metadata: jsonb().$type<Record<string, string>>().notNull(),
    environment: jsonb().$type<Record<string, string>>().notNull(),
    /** A main command that was started before has another one. */
    environmentChangedAt: instant("environment_changed_at"),
    /** Of entrypoint and command; a main command that was started before is another one. */
    entrypointChangedAt: instant("entrypoint_changed_at"),
    machineId: text("machine_id").$type<MachineId>(),
    /** The node whose runtime holds the machine. */
    nodeId: text("node_id"),
    createdAt: instant("created_at").notNull(),
    startedAt: instant("started_at"),
    endedAt: instant("ended_at"),
    expiresAt: instant("expires_at"),
    idleTimeoutSeconds: integer("idle_timeout_seconds").notNull(),
    lastActivityAt: instant("last_activity_at").notNull(),
    /** Grows with every transition: who writes names the version it read, and loses if it is gone. */
    version: integer().notNull(),
  },
  (table) => [
    index("sandboxes_of_owner").on(table.ownerId, desc(table.createdAt), desc(table.id)),
    index("sandboxes_counted")
      .on(table.ownerId)
      .where(sql`${table.state} not in ('destroyed', 'failed')`),
    uniqueIndex("sandboxes_machine").on(table.machineId),
    index("sandboxes_live")
      .on(table.nodeId, table.state)
      .where(sql`${table.state} <> 'destroyed'`),
    index("sandboxes_expiry")
      .on(table.expiresAt)
      .where(sql`${table.state} <> 'destroyed' and ${table.expiresAt} is not null`),
    index("sandboxes_ended")
      .on(table.endedAt)
      .where(sql`${table.state} in ('destroyed', 'failed')`),
  ],
);

/** Append-only: audit log, execution history and timeline of every sandbox. */
export const sandboxEvents = pgTable(
  "sandbox_events",
  {
    sequence: bigserial({ mode: "number" }).primaryKey(),
    sandboxId: text("sandbox_id")
      .$type<SandboxId>()
      .notNull()
      .references(() => sandboxes.id, { onDelete: "cascade" }),
    type: text().notNull(),
    at: instant("at").notNull(),
    data: jsonb().$type<Record<string, unknown>>().notNull(),
  },
  (table) => [index("sandbox_events_of_sandbox").on(table.sandboxId, table.sequence)],
);
