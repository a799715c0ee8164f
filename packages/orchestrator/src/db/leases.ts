import { and, eq, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { leases } from "./schema/leases.ts";

export interface LeaseRows {
  /**
   * Takes or prolongs the lease for its holder: `true` when it is theirs for `durationMs` from now.
   * Nobody else gets it before that time is over, or before its holder gives it back.
   */
  acquire(name: string, holder: string, durationMs: number): Promise<boolean>;
  /** Who has it, for people; `undefined` when nobody has. */
  holder(name: string): Promise<string | undefined>;
  /** Gives it back; `false` when it was somebody else's, or nobody's. */
  release(name: string, holder: string): Promise<boolean>;
}

/** Their time is told by the database's clock alone: those of the holders' hosts may disagree. */
export function leaseRows({ drizzle, read, write }: Connection): LeaseRows {
  const now = sql`clock_timestamp()`;

  return {
    acquire: async (name, holder, durationMs) => {
      const expiresAt = sql`${now} + ${durationMs} * interval '1 millisecond'`;
      const held = await read(() =>
        drizzle
          .insert(leases)
          .values({ name, holder, expiresAt })
          .onConflictDoUpdate({
            target: leases.name,
            set: { holder, expiresAt },
            setWhere: sql`${leases.holder} = ${holder} or ${leases.expiresAt} <= ${now}`,
          })
          .returning({ name: leases.name }),
      );
      return held.length > 0;
    },
    holder: async (name) => {
      const [lease] = await read(() =>
        drizzle
          .select({ holder: leases.holder })
          .from(leases)
          .where(and(eq(leases.name, name), sql`${leases.expiresAt} > ${now}`)),
      );
      return lease?.holder;
    },
    release: async (name, holder) => {
      const released = await write(() =>
        drizzle.delete(leases).where(and(eq(leases.name, name), eq(leases.holder, holder))),
      );
      return (released.rowCount ?? 0) > 0;
    },
  };
}
