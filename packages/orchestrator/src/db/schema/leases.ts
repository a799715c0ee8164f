import { pgTable, text } from "drizzle-orm/pg-core";
import { instant } from "./instant.ts";

/** Work that one process at a time does, of all that could: who does it, and until when that holds. */
export const leases = pgTable("leases", {
  name: text().primaryKey(),
  holder: text().notNull(),
  expiresAt: instant("expires_at").notNull(),
});

/** How far a reader of the event stream has come. */
export const eventReaders = pgTable("event_readers", {
  name: text().primaryKey(),
  /** Only its reader knows how to read it. */
  position: text().notNull(),
});
