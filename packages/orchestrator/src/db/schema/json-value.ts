import { customType } from "drizzle-orm/pg-core";

/**
 * A column of JSON that may be text: `jsonb` as it comes would read a text that looks like JSON, such
 * as `true`, as what it looks like.
 */
export const jsonValue = customType<{ data: unknown; driverData: unknown }>({
  dataType: () => "jsonb",
  toDriver: (value) => JSON.stringify(value),
  fromDriver: (value) => value,
});
