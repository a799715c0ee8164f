import { sql } from "drizzle-orm";
import { boolean, index, pgTable, primaryKey, text } from "drizzle-orm/pg-core";
import { instant } from "./instant.ts";

/** People with an account. Their id is the owner id of what they make. */
export const users = pgTable("users", {
  id: text().primaryKey(),
  /** In lower case: there is one account for an address, however it is written. */
  email: text().notNull().unique(),
  name: text().notNull(),
  /** In the PHC format, with its parameters; absent: they sign in with the provider. */
  passwordHash: text("password_hash"),
  admin: boolean().notNull(),
  disabled: boolean().notNull().default(false),
  createdAt: instant("created_at").notNull(),
  lastSeenAt: instant("last_seen_at"),
});

/** Who signed in, and has not signed out. Only hashes of refresh tokens are kept. */
export const personSessions = pgTable(
  "person_sessions",
  {
    id: text().primaryKey(),
    userId: text("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    refreshHash: text("refresh_hash").notNull(),
    /** Of the token that the present one took the place of. */
    previousHash: text("previous_hash"),
    userAgent: text("user_agent"),
    createdAt: instant("created_at").notNull(),
    /** When its refresh token was last used. */
    lastUsedAt: instant("last_used_at").notNull(),
    expiresAt: instant("expires_at").notNull(),
    revokedAt: instant("revoked_at"),
  },
  (table) => [
    index("person_sessions_of_user")
      .on(table.userId, table.lastUsedAt)
      .where(sql`${table.revokedAt} is null`),
  ],
);

/** Who a provider says someone is; its subject never changes, while addresses do. */
export const userIdentities = pgTable(
  "user_identities",
  {
    issuer: text().notNull(),
    subject: text().notNull(),
    userId: text("user_id")
      .notNull()
      .references(() => users.id, { onDelete: "cascade" }),
    createdAt: instant("created_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.issuer, table.subject] }),
    index("user_identities_of_user").on(table.userId),
  ],
);
