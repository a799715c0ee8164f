import { timestamp } from "drizzle-orm/pg-core";

/** A moment, made by the orchestrator in milliseconds, so that a row read back equals the one written. */
export const instant = (name: string) => timestamp(name, { withTimezone: true, precision: 3 });
