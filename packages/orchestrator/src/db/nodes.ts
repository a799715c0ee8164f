import { eq, getTableColumns, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { nodes } from "./schema.ts";

export type NodeRecord = typeof nodes.$inferSelect;

export interface NodeRows {
  /** Says that a node is alive, and the first time that it exists. */
  heartbeat(node: Omit<NodeRecord, "heartbeatAt">): Promise<void>;
  /** `silentMs` is how long ago its heart beat last. */
  get(id: string): Promise<(NodeRecord & { silentMs: number }) | undefined>;
  /** `false` when there was none. */
  remove(id: string): Promise<boolean>;
}

/** Heartbeats are told by the database's clock alone: those of the nodes' hosts may disagree. */
export function nodeRows({ drizzle, read, write }: Connection): NodeRows {
  const heartbeatAt = sql`clock_timestamp()`;
  const silentMs = sql<number>`
    (extract(epoch from clock_timestamp() - ${nodes.heartbeatAt}) * 1000)::double precision`;

  return {
    heartbeat: async (node) => {
      const { id: _, ...changes } = { ...node, heartbeatAt };
      await read(() =>
        drizzle
          .insert(nodes)
          .values({ ...node, heartbeatAt })
          .onConflictDoUpdate({ target: nodes.id, set: changes }),
      );
    },
    get: async (id) => {
      const [node] = await read(() =>
        drizzle
          .select({ ...getTableColumns(nodes), silentMs })
          .from(nodes)
          .where(eq(nodes.id, id)),
      );
      return node;
    },
    remove: async (id) => {
      const removed = await write(() => drizzle.delete(nodes).where(eq(nodes.id, id)));
      return (removed.rowCount ?? 0) > 0;
    },
  };
}
