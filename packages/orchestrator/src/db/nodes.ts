import { asc, eq, gte } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { nodes } from "./schema.ts";

export type NodeRecord = typeof nodes.$inferSelect;

export interface NodeRows {
  /** Says that a node is alive, and the first time that it exists. */
  heartbeat(node: NodeRecord): Promise<void>;
  get(id: string): Promise<NodeRecord | undefined>;
  /** Nodes whose heart has beaten since an instant. */
  alive(since: Date): Promise<NodeRecord[]>;
  /** `false` when there was none. */
  remove(id: string): Promise<boolean>;
}

export function nodeRows({ drizzle, read, write }: Connection): NodeRows {
  return {
    heartbeat: async (node) => {
      const { id: _, ...changes } = node;
      await read(() =>
        drizzle.insert(nodes).values(node).onConflictDoUpdate({ target: nodes.id, set: changes }),
      );
    },
    get: async (id) => {
      const [node] = await read(() => drizzle.select().from(nodes).where(eq(nodes.id, id)));
      return node;
    },
    alive: (since) =>
      read(() =>
        drizzle.select().from(nodes).where(gte(nodes.heartbeatAt, since)).orderBy(asc(nodes.id)),
      ),
    remove: async (id) => {
      const removed = await write(() => drizzle.delete(nodes).where(eq(nodes.id, id)));
      return (removed.rowCount ?? 0) > 0;
    },
  };
}
