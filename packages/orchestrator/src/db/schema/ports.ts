import type { SandboxId } from "@insien/protocol";
import { sql } from "drizzle-orm";
import { boolean, integer, pgTable, primaryKey, text, uniqueIndex } from "drizzle-orm/pg-core";
import { sandboxes } from "../schema.ts";
import { instant } from "./instant.ts";

/** Ports that were asked for. Their rows go when the sandbox ends, and with them the names they held. */
export const sandboxPorts = pgTable(
  "sandbox_ports",
  {
    sandboxId: text("sandbox_id")
      .$type<SandboxId>()
      .notNull()
      .references(() => sandboxes.id, { onDelete: "cascade" }),
    internal: integer().notNull(),
    external: integer(),
    protocol: text().$type<"http" | "tcp">().notNull(),
    subdomain: text(),
    public: boolean().notNull(),
    /** The node whose host the external port is taken on. */
    nodeId: text("node_id").notNull(),
    createdAt: instant("created_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.sandboxId, table.internal] }),
    uniqueIndex("sandbox_ports_subdomain").on(table.subdomain),
    uniqueIndex("sandbox_ports_external")
      .on(table.nodeId, table.external)
      .where(sql`${table.external} is not null`),
  ],
);
