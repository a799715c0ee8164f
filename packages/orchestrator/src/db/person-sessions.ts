import { and, desc, eq, gt, isNull, lte, ne, notInArray, or, isNotNull } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { personSessions, users } from "./schema/people.ts";
import type { UserRecord } from "./people.ts";

export type SessionRecord = Absent<typeof personSessions.$inferSelect>;

export interface SessionRows {
  /**
   * Writes a session, forgets the person's ended ones, and of the others all but the `most` that
   * were used last.
   */
  open(
    session: Omit<SessionRecord, "previousHash" | "revokedAt">,
    options: { most: number },
  ): Promise<void>;
  /** One that has not ended, with whose it is. */
  live(id: string, now: Date): Promise<{ session: SessionRecord; user: UserRecord } | undefined>;
  /** Puts another refresh token in the place of `from`; `false` when that is not the present one. */
  rotate(id: string, hashes: { from: string; to: string }, at: Date): Promise<boolean>;
  /** Of a person, that have not ended; the one used last first. */
  list(userId: string, now: Date): Promise<SessionRecord[]>;
  /** Ends one; `false` when it had ended, or is not this person's. */
  end(id: string, at: Date, options?: { userId?: string }): Promise<boolean>;
  /** Ends all of a person's, save one; tells which. */
  endAll(userId: string, at: Date, options?: { except?: string | undefined }): Promise<string[]>;
}

export function sessionRows({ drizzle, read, write }: Connection): SessionRows {
  const isLive = (now: Date) =>
    and(isNull(personSessions.revokedAt), gt(personSessions.expiresAt, now));

  return {
    open: (session, { most }) =>
      write(() =>
        drizzle.transaction(async (transaction) => {
          const { userId, createdAt: now } = session;
          await transaction.insert(personSessions).values(session);
          const kept = transaction
            .select({ id: personSessions.id })
            .from(personSessions)
            .where(and(eq(personSessions.userId, userId), isLive(now)))
            .orderBy(desc(personSessions.lastUsedAt), desc(personSessions.id))
            .limit(most);
          const ended = or(isNotNull(personSessions.revokedAt), lte(personSessions.expiresAt, now));
          const surplus = or(ended, notInArray(personSessions.id, kept));
          await transaction
            .delete(personSessions)
            .where(
              and(eq(personSessions.userId, userId), ne(personSessions.id, session.id), surplus),
            );
        }),
      ),
    live: async (id, now) => {
      const [row] = await read(() =>
        drizzle
          .select({ session: personSessions, user: users })
          .from(personSessions)
          .innerJoin(users, eq(users.id, personSessions.userId))
          .where(and(eq(personSessions.id, id), isLive(now))),
      );
      return row && { session: withoutNulls(row.session), user: withoutNulls(row.user) };
    },
    rotate: async (id, { from, to }, at) => {
      const rotated = await write(() =>
        drizzle
          .update(personSessions)
          .set({ refreshHash: to, previousHash: from, lastUsedAt: at })
          .where(and(eq(personSessions.id, id), eq(personSessions.refreshHash, from), isLive(at))),
      );
      return (rotated.rowCount ?? 0) > 0;
    },
    list: async (userId, now) => {
      const rows = await read(() =>
        drizzle
          .select()
          .from(personSessions)
          .where(and(eq(personSessions.userId, userId), isLive(now)))
          .orderBy(desc(personSessions.lastUsedAt), desc(personSessions.id)),
      );
      return rows.map(withoutNulls);
    },
    end: async (id, at, { userId } = {}) => {
      const whose = userId === undefined ? undefined : eq(personSessions.userId, userId);
      const ended = await write(() =>
        drizzle
          .update(personSessions)
          .set({ revokedAt: at })
          .where(and(eq(personSessions.id, id), whose, isLive(at))),
      );
      return (ended.rowCount ?? 0) > 0;
    },
    endAll: async (userId, at, { except } = {}) => {
      const others = except === undefined ? undefined : ne(personSessions.id, except);
      const ended = await write(() =>
        drizzle
          .update(personSessions)
          .set({ revokedAt: at })
          .where(and(eq(personSessions.userId, userId), others, isLive(at)))
          .returning({ id: personSessions.id }),
      );
      return ended.map(({ id }) => id);
    },
  };
}
