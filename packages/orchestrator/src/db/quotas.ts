import type { QuotaName } from "@insien/protocol";
import { eq, sql } from "drizzle-orm";
import type { Connection, Statements } from "./connection.ts";
import { quotas } from "./schema/quotas.ts";

/** Where an owner's bounds differ from the server's defaults; `null`: no bound. */
export type QuotaLimits = Partial<Record<QuotaName, number | null>>;

export interface OwnerUsage {
  /** Sizes in bytes, `creates_per_minute` of the last 60 seconds. */
  used: Record<QuotaName, number>;
  /** Of the oldest create within these 60 seconds. */
  oldestCreateAgeSeconds: number | undefined;
}

/** Throws when an owner who uses this much may not have what is about to be written. */
export type Admission = (usage: OwnerUsage) => void;

export interface QuotaRows {
  /** `undefined` when the owner has the server's defaults. */
  get(ownerId: string): Promise<QuotaLimits | undefined>;
  put(ownerId: string, limits: QuotaLimits): Promise<void>;
  /** `false` when there was nothing to forget. */
  remove(ownerId: string): Promise<boolean>;
  usage(ownerId: string): Promise<OwnerUsage>;
}

export function quotaRows({ drizzle, read, write }: Connection): QuotaRows {
  return {
    get: async (ownerId) => {
      const [row] = await read(() =>
        drizzle.select().from(quotas).where(eq(quotas.ownerId, ownerId)),
      );
      return row?.limits;
    },
    put: async (ownerId, limits) => {
      const changes = { limits, updatedAt: new Date() };
      await read(() =>
        drizzle
          .insert(quotas)
          .values({ ownerId, ...changes })
          .onConflictDoUpdate({ target: quotas.ownerId, set: changes }),
      );
    },
    remove: async (ownerId) => {
      const removed = await write(() => drizzle.delete(quotas).where(eq(quotas.ownerId, ownerId)));
      return (removed.rowCount ?? 0) > 0;
    },
    usage: (ownerId) => read(() => usageOf(drizzle, ownerId)),
  };
}

/**
 * Runs `work` in a transaction that no other one of this owner's runs beside, on whatever node, after
 * `admit` has seen what the owner uses then: of those who race for the last of a quota one gets it.
 */
export function admitted<Value>(
  { drizzle, write }: Connection,
  ownerId: string,
  admit: Admission,
  work: (statements: Statements) => Promise<Value>,
): Promise<Value> {
  return write(() =>
    drizzle.transaction(async (transaction) => {
      // A statement of its own: one sees what was committed before it began, not before it waited.
      await transaction.execute(
        sql`select pg_advisory_xact_lock(hashtextextended(${`quota of ${ownerId}`}, 0))`,
      );
      admit(await usageOf(transaction, ownerId));
      return work(transaction);
    }),
  );
}

/** Literal states, as in the partial index that this reads. */
const usageQuery = (ownerId: string) => sql`
  with alive as (
    select count(*) as sandboxes,
      sum(cpu) filter (where state <> 'stopped') as cpu,
      sum(memory_bytes) filter (where state <> 'stopped') as memory,
      sum(disk_bytes) as disk
    from sandboxes where owner_id = ${ownerId} and state not in ('destroyed', 'failed')
  ), stored as (
    select sum(used_bytes) as disk from volumes where owner_id = ${ownerId}
  ), recent as (
    select count(*) as creates,
      extract(epoch from clock_timestamp() - min(created_at)) as oldest_age
    from sandboxes
    where owner_id = ${ownerId} and created_at > clock_timestamp() - interval '1 minute'
  )
  select alive.sandboxes::integer, recent.creates::integer,
    coalesce(alive.cpu, 0)::double precision as cpu,
    coalesce(alive.memory, 0)::double precision as memory,
    (coalesce(alive.disk, 0) + coalesce(stored.disk, 0))::double precision as disk,
    recent.oldest_age::double precision as oldest_age
  from alive, stored, recent`;

type UsageRow = Record<"sandboxes" | "creates" | "cpu" | "memory" | "disk", number> & {
  oldest_age: number | null;
};

async function usageOf(statements: Statements, ownerId: string): Promise<OwnerUsage> {
  const { rows } = await statements.execute<UsageRow>(usageQuery(ownerId));
  const [row] = rows;
  if (row === undefined) throw new Error("a sum over no rows is a row all the same");
  const { sandboxes, cpu, memory, disk, creates } = row;
  return {
    used: { sandboxes, cpu, memory, disk, creates_per_minute: creates },
    oldestCreateAgeSeconds: row.oldest_age ?? undefined,
  };
}
