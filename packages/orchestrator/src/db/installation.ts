import { newId } from "@insien/protocol";
import type { Connection } from "./connection.ts";
import { installation } from "./schema.ts";

export interface InstallationRecord {
  id: string;
  /** The label that this installation's machines carry. */
  ownerLabel: string;
  createdAt: Date;
}

export interface InstallationRows {
  /** The one installation of this database; made when asked for the first time, by whoever comes first. */
  get(): Promise<InstallationRecord>;
}

export function installationRows({ drizzle, read }: Connection): InstallationRows {
  return {
    get: () =>
      read(async () => {
        await drizzle
          .insert(installation)
          .values({ id: newId(), ownerLabel: newId(), createdAt: new Date() })
          .onConflictDoNothing();
        const [record] = await drizzle
          .select({
            id: installation.id,
            ownerLabel: installation.ownerLabel,
            createdAt: installation.createdAt,
          })
          .from(installation);
        if (record === undefined)
          throw new Error("the installation's row vanished while it was read");
        return record;
      }),
  };
}
