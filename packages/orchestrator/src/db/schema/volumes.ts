import type { SandboxId } from "@insien/protocol";
import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  index,
  jsonb,
  pgTable,
  primaryKey,
  text,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import { sandboxes } from "../schema.ts";
import { instant } from "./instant.ts";

export const volumes = pgTable(
  "volumes",
  {
    id: text().primaryKey(),
    ownerId: text("owner_id").notNull(),
    name: text().notNull(),
    type: text().$type<"local" | "network">().notNull(),
    driver: text().$type<"local" | "nfs">().notNull(),
    sizeBytes: bigint("size_bytes", { mode: "number" }),
    /** Where it is mounted when a mount names no path. */
    mountPath: text("mount_path"),
    /** Of driver nfs. */
    options: jsonb().$type<{ server: string; path: string; mountOptions?: string }>(),
    /** Of a `local` one: it goes with this sandbox. */
    sandboxId: text("sandbox_id").$type<SandboxId>(),
    /** The node whose host holds it; absent for nfs. */
    nodeId: text("node_id"),
    /** Its files, as last measured. */
    usedBytes: bigint("used_bytes", { mode: "number" }),
    createdAt: instant("created_at").notNull(),
    /** Set before its storage is removed, so that a crash in between is finished later. */
    deletedAt: instant("deleted_at"),
  },
  (table) => [
    uniqueIndex("volumes_network_name")
      .on(table.ownerId, table.name)
      .where(sql`${table.type} = 'network' and ${table.deletedAt} is null`),
    uniqueIndex("volumes_local_name")
      .on(table.sandboxId, table.name)
      .where(sql`${table.type} = 'local' and ${table.deletedAt} is null`),
    index("volumes_of_owner").on(table.ownerId),
    index("volumes_of_node").on(table.nodeId),
  ],
);

export const sandboxMounts = pgTable(
  "sandbox_mounts",
  {
    sandboxId: text("sandbox_id")
      .$type<SandboxId>()
      .notNull()
      .references(() => sandboxes.id, { onDelete: "cascade" }),
    volumeId: text("volume_id")
      .notNull()
      .references(() => volumes.id, { onDelete: "restrict" }),
    mountPath: text("mount_path").notNull(),
    readOnly: boolean("read_only").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.sandboxId, table.volumeId] }),
    uniqueIndex("sandbox_mounts_path").on(table.sandboxId, table.mountPath),
    index("sandbox_mounts_of_volume").on(table.volumeId),
  ],
);
