import type { QuotaName } from "@insien/protocol";
import { jsonb, pgTable, text } from "drizzle-orm/pg-core";
import { instant } from "./instant.ts";

/** Where an owner's bounds differ from the server's defaults; `null`: no bound. Sizes in bytes. */
export const quotas = pgTable("quotas", {
  ownerId: text("owner_id").primaryKey(),
  limits: jsonb().$type<Partial<Record<QuotaName, number | null>>>().notNull(),
  updatedAt: instant("updated_at").notNull(),
});
