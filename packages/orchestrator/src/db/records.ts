/** Rows have null where a value is absent, records have undefined: the rest of the code knows only the latter. */
import { getTableColumns, sql, type SQL } from "drizzle-orm";
import type { PgTable } from "drizzle-orm/pg-core";

/** A row as the rest of the code sees it. */
export type Absent<Row> = {
  [Key in keyof Row]: null extends Row[Key] ? Exclude<Row[Key], null> | undefined : Row[Key];
};

export function withoutNulls<Row extends object>(row: Row): Absent<Row> {
  const entries = Object.entries(row).map(([key, value]) => [key, value ?? undefined]);
  return Object.fromEntries(entries) as Absent<Row>;
}

export function withNulls(record: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, value ?? null]));
}

/**
 * A placeholder for each named column. Raw ones: the driver itself writes dates, objects and null,
 * while a column's own encoder would fail on null.
 */
export function placeholders<
  Table extends PgTable,
  Key extends keyof Table["_"]["columns"] & string,
>(
  table: Table,
  keys: readonly Key[] = Object.keys(getTableColumns(table)) as Key[],
): Record<Key, SQL> {
  return Object.fromEntries(keys.map((key) => [key, sql`${sql.placeholder(key)}`])) as Record<
    Key,
    SQL
  >;
}
