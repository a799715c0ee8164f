import { and, asc, eq, isNull, notExists, sql } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { apiKeys } from "./schema.ts";
import { users } from "./schema/people.ts";

export type ApiKeyRecord = Absent<typeof apiKeys.$inferSelect>;

export interface ApiKeyRows {
  insert(key: Omit<ApiKeyRecord, "lastUsedAt" | "revokedAt">): Promise<void>;
  /** Makes the row with this id be exactly this key, revoked no more: the bootstrap key follows the configuration. */
  replace(key: Omit<ApiKeyRecord, "lastUsedAt" | "revokedAt">): Promise<void>;
  get(id: string): Promise<ApiKeyRecord | undefined>;
  /** A key that is not revoked, nor of a disabled account, by the SHA-256 of its text; any, where several nodes were given the same. */
  byHash(hash: string): Promise<ApiKeyRecord | undefined>;
  /** Keys that are not revoked, of one owner or of all, the oldest first. */
  list(ownerId?: string): Promise<ApiKeyRecord[]>;
  /** `false` when there is no such key, or it was revoked already. */
  revoke(id: string, at: Date): Promise<boolean>;
  /** Notes the last use of many keys at once. */
  touch(uses: ReadonlyMap<string, Date>): Promise<void>;
}

export function apiKeyRows({ drizzle, read, write }: Connection): ApiKeyRows {
  const ownerDisabled = drizzle
    .select({ id: users.id })
    .from(users)
    .where(and(eq(users.id, apiKeys.ownerId), eq(users.disabled, true)));
  const byHash = drizzle
    .select()
    .from(apiKeys)
    .where(
      and(
        eq(apiKeys.hash, sql.placeholder("hash")),
        isNull(apiKeys.revokedAt),
        notExists(ownerDisabled),
      ),
    )
    .limit(1)
    .prepare("api_key_by_hash");

  return {
    insert: async (key) => {
      await write(() => drizzle.insert(apiKeys).values(key));
    },
    replace: async (key) => {
      const changes = { ...key, revokedAt: null };
      await read(() =>
        drizzle
          .insert(apiKeys)
          .values(key)
          .onConflictDoUpdate({ target: apiKeys.id, set: changes }),
      );
    },
    get: async (id) => {
      const [row] = await read(() => drizzle.select().from(apiKeys).where(eq(apiKeys.id, id)));
      return row && withoutNulls(row);
    },
    byHash: async (hash) => {
      const [row] = await read(() => byHash.execute({ hash }));
      return row && withoutNulls(row);
    },
    list: async (ownerId) => {
      const owner = ownerId === undefined ? undefined : eq(apiKeys.ownerId, ownerId);
      const rows = await read(() =>
        drizzle
          .select()
          .from(apiKeys)
          .where(and(owner, isNull(apiKeys.revokedAt)))
          .orderBy(asc(apiKeys.createdAt), asc(apiKeys.id)),
      );
      return rows.map(withoutNulls);
    },
    revoke: async (id, at) => {
      const revoked = await write(() =>
        drizzle
          .update(apiKeys)
          .set({ revokedAt: at })
          .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt))),
      );
      return (revoked.rowCount ?? 0) > 0;
    },
    touch: async (uses) => {
      if (uses.size === 0) return;
      const used = sql`unnest(${sql.param([...uses.keys()])}::text[], ${sql.param([...uses.values()])}::timestamptz[]) as used (id, instant)`;
      await read(() =>
        drizzle
          .update(apiKeys)
          .set({ lastUsedAt: sql`greatest(${apiKeys.lastUsedAt}, used.instant)` })
          .from(used)
          .where(sql`${apiKeys.id} = used.id`),
      );
    },
  };
}
