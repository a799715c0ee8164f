import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { Connection, Statements } from "./connection.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { userIdentities, users } from "./schema/people.ts";

export type UserRecord = Absent<typeof users.$inferSelect>;
export type NewUser = Pick<UserRecord, "id" | "email" | "name" | "admin" | "createdAt"> & {
  passwordHash?: string | undefined;
};

/** Who a provider says someone is. */
export interface Identity {
  issuer: string;
  subject: string;
}

export interface UserRows {
  /**
   * Writes an account, the very first as an administrator's, after `admit` has not thrown at being
   * told whether it is the first: of two who race for that, one is. `undefined` when the email is
   * taken.
   */
  create(
    user: NewUser,
    options: { admit: (isFirst: boolean) => void; identity?: Identity | undefined },
  ): Promise<UserRecord | undefined>;
  any(): Promise<boolean>;
  get(id: string): Promise<UserRecord | undefined>;
  byEmail(email: string): Promise<UserRecord | undefined>;
  byIdentity(identity: Identity): Promise<UserRecord | undefined>;
  /** `false` when this subject of this issuer is somebody's already. */
  identify(userId: string, identity: Identity): Promise<boolean>;
  /** By id, after `after`. */
  list(query: { after?: string | undefined; limit: number }): Promise<UserRecord[]>;
  /** `undefined` when there is no such account. */
  change(
    id: string,
    changes: Partial<Pick<UserRecord, "name" | "disabled" | "lastSeenAt">>,
  ): Promise<UserRecord | undefined>;
  /** `false` when the password was another one already. */
  setPassword(id: string, hashes: { from: string; to: string }): Promise<boolean>;
}

export function userRows({ drizzle, read, write }: Connection): UserRows {
  const one = async (found: () => Promise<(typeof users.$inferSelect)[]>) => {
    const [row] = await read(found);
    return row && withoutNulls(row);
  };

  return {
    create: (user, { admit, identity }) =>
      write(() =>
        drizzle.transaction(async (transaction) => {
          await transaction.execute(
            sql`select pg_advisory_xact_lock(hashtextextended('first account', 0))`,
          );
          const isFirst = !(await anyUser(transaction));
          admit(isFirst);
          const values = { ...user, admin: user.admin || isFirst };
          const [row] = await transaction
            .insert(users)
            .values(values)
            .onConflictDoNothing({ target: users.email })
            .returning();
          if (row === undefined) return undefined;
          if (identity !== undefined) {
            const linked = { ...identity, userId: row.id, createdAt: user.createdAt };
            await transaction.insert(userIdentities).values(linked);
          }
          return withoutNulls(row);
        }),
      ),
    any: () => read(() => anyUser(drizzle)),
    get: (id) => one(() => drizzle.select().from(users).where(eq(users.id, id))),
    byEmail: (email) => one(() => drizzle.select().from(users).where(eq(users.email, email))),
    byIdentity: async ({ issuer, subject }) => {
      const [row] = await read(() =>
        drizzle
          .select({ user: users })
          .from(userIdentities)
          .innerJoin(users, eq(users.id, userIdentities.userId))
          .where(and(eq(userIdentities.issuer, issuer), eq(userIdentities.subject, subject))),
      );
      return row && withoutNulls(row.user);
    },
    identify: async (userId, identity) => {
      const linked = { ...identity, userId, createdAt: new Date() };
      const made = await write(() =>
        drizzle.insert(userIdentities).values(linked).onConflictDoNothing(),
      );
      return (made.rowCount ?? 0) > 0;
    },
    list: async ({ after, limit }) => {
      const rows = await read(() =>
        drizzle
          .select()
          .from(users)
          .where(after === undefined ? undefined : gt(users.id, after))
          .orderBy(asc(users.id))
          .limit(limit),
      );
      return rows.map(withoutNulls);
    },
    change: (id, changes) =>
      one(() => drizzle.update(users).set(changes).where(eq(users.id, id)).returning()),
    setPassword: async (id, { from, to }) => {
      const changed = await write(() =>
        drizzle
          .update(users)
          .set({ passwordHash: to })
          .where(and(eq(users.id, id), eq(users.passwordHash, from))),
      );
      return (changed.rowCount ?? 0) > 0;
    },
  };
}

async function anyUser(statements: Pick<Statements, "select">): Promise<boolean> {
  const rows = await statements.select({ id: users.id }).from(users).limit(1);
  return rows.length > 0;
}
