import { InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import { and, asc, count, eq, inArray, sql } from "drizzle-orm";
import type { Connection, Statements } from "./connection.ts";
import { type Absent, withNulls, withoutNulls } from "./records.ts";
import { sandboxes } from "./schema.ts";
import { sandboxPorts } from "./schema/ports.ts";

type Row = typeof sandboxPorts.$inferSelect;
export type SandboxPortRecord = Absent<Row>;

export interface SandboxPortRows {
  /**
   * Stores ports of one sandbox, all or none; those that are there already stay as they are. Throws
   * `conflict` that names the subdomain or the external port that is taken, `limit_reached` when its
   * owner has as many as one may, `sandbox_state` when it has ended or is about to.
   */
  insert(ports: readonly SandboxPortRecord[]): Promise<void>;
  /** By number. */
  ofSandbox(id: SandboxId): Promise<SandboxPortRecord[]>;
  get(id: SandboxId, internal: number): Promise<SandboxPortRecord | undefined>;
  bySubdomain(subdomain: string): Promise<SandboxPortRecord | undefined>;
  /** `undefined` when there is no such port. */
  setPublic(
    id: SandboxId,
    internal: number,
    isPublic: boolean,
  ): Promise<SandboxPortRecord | undefined>;
  /** `false` when there was none. */
  remove(id: SandboxId, internal: number): Promise<boolean>;
  removeAll(id: SandboxId): Promise<void>;
}

/** What is left of sandboxes that have ended. */
export interface EndedPortRows {
  /** Gives how many there were. */
  removeEnded(): Promise<number>;
  /** How many `removeEnded` would remove. */
  countEnded(): Promise<number>;
}

export function sandboxPortRows({
  drizzle,
  read,
  write,
}: Connection): SandboxPortRows & EndedPortRows {
  const one = (id: SandboxId, internal: number) =>
    and(eq(sandboxPorts.sandboxId, id), eq(sandboxPorts.internal, internal));
  const first = async (where: ReturnType<typeof eq> | undefined) => {
    const [row] = await read(() => drizzle.select().from(sandboxPorts).where(where));
    return row && withoutNulls(row);
  };

  return {
    insert: async (ports) => {
      if (ports.length === 0) return;
      const rows = ports.map((port) => withNulls(port) as Row);
      const insert = async (transaction: Statements) => {
        const ownerId = await ownerOf(transaction, rows);
        await transaction
          .insert(sandboxPorts)
          .values(rows)
          .onConflictDoNothing({ target: [sandboxPorts.sandboxId, sandboxPorts.internal] });
        await refuseTooMany(transaction, ownerId, rows);
      };
      try {
        await read(() => drizzle.transaction(insert));
      } catch (error) {
        throw explainTaken(error, ports);
      }
    },
    ofSandbox: async (id) => {
      const rows = await read(() =>
        drizzle
          .select()
          .from(sandboxPorts)
          .where(eq(sandboxPorts.sandboxId, id))
          .orderBy(asc(sandboxPorts.internal)),
      );
      return rows.map(withoutNulls);
    },
    get: (id, internal) => first(one(id, internal)),
    bySubdomain: (subdomain) => first(eq(sandboxPorts.subdomain, subdomain)),
    setPublic: async (id, internal, isPublic) => {
      const [row] = await write(() =>
        drizzle.update(sandboxPorts).set({ public: isPublic }).where(one(id, internal)).returning(),
      );
      return row && withoutNulls(row);
    },
    remove: async (id, internal) => {
      const removed = await write(() => drizzle.delete(sandboxPorts).where(one(id, internal)));
      return (removed.rowCount ?? 0) > 0;
    },
    removeAll: async (id) => {
      await read(() => drizzle.delete(sandboxPorts).where(eq(sandboxPorts.sandboxId, id)));
    },
    removeEnded: async () => {
      const removed = await write(() => drizzle.delete(sandboxPorts).where(ofEnded(drizzle)));
      return removed.rowCount ?? 0;
    },
    countEnded: () => read(() => drizzle.$count(sandboxPorts, ofEnded(drizzle))),
  };
}

const ofEnded = (statements: Statements) =>
  inArray(
    sandboxPorts.sandboxId,
    statements
      .select({ id: sandboxes.id })
      .from(sandboxes)
      .where(inArray(sandboxes.state, ["destroyed", "failed"])),
  );

/** Until the transaction is over the sandbox does not end: whoever ends it then finds its ports. */
async function ownerOf(transaction: Statements, [port]: readonly Row[]): Promise<string> {
  const id = port?.sandboxId ?? "";
  const [sandbox] = await transaction
    .select({ ownerId: sandboxes.ownerId, state: sandboxes.state })
    .from(sandboxes)
    .where(eq(sandboxes.id, id as SandboxId))
    .for("share");
  const isOver = ["destroying", "destroyed", "failed"].includes(sandbox?.state ?? "destroyed");
  if (sandbox !== undefined && !isOver) return sandbox.ownerId;
  const state = sandbox?.state ?? "destroyed";
  throw new InsienError("sandbox_state", `Sandbox ${id} is ${state} and can be given no port`);
}

/** What there is one of for all owners, no owner may take all of. */
async function refuseTooMany(
  transaction: Statements,
  ownerId: string,
  rows: readonly Row[],
): Promise<void> {
  const bounds = [
    ["external", "external ports", LIMITS.externalPortsPerOwner.value],
    ["subdomain", "subdomains", LIMITS.subdomainsPerOwner.value],
  ] as const;
  for (const [column, what, most] of bounds) {
    if (rows.every((row) => row[column] === null)) continue;
    // Held to the end: two at once would each count without the other's.
    const lock = sql`select pg_advisory_xact_lock(hashtextextended(${`ports ${ownerId}`}, 0))`;
    await transaction.execute(lock);
    const [counted] = await transaction
      .select({ count: count(sandboxPorts[column]) })
      .from(sandboxPorts)
      .innerJoin(sandboxes, eq(sandboxes.id, sandboxPorts.sandboxId))
      .where(eq(sandboxes.ownerId, ownerId));
    if ((counted?.count ?? 0) <= most) continue;
    const message = `Your sandboxes have ${most} ${what}, as many as one owner may have`;
    throw new InsienError("limit_reached", message, { details: { limit: most } });
  }
}

const UNIQUE_VIOLATION = "23505";

/** The database says which index and which value; what else would be refused is not known. */
function explainTaken(error: unknown, ports: readonly SandboxPortRecord[]): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!("code" in cause) || cause.code !== UNIQUE_VIOLATION || !("constraint" in cause)) continue;
    const detail = "detail" in cause ? String(cause.detail) : "";
    if (cause.constraint === "sandbox_ports_subdomain") {
      const taken = ports.find(({ subdomain }) => detail.includes(`=(${subdomain})`))?.subdomain;
      return subdomainTaken(taken ?? String(ports[0]?.subdomain), error);
    }
    if (cause.constraint === "sandbox_ports_external") {
      const taken = ports.find(({ external }) => detail.includes(`, ${external})`))?.external;
      return externalPortTaken(taken ?? Number(ports[0]?.external), error);
    }
  }
  return error;
}

const subdomainTaken = (subdomain: string, cause?: unknown): InsienError =>
  new InsienError("conflict", `The subdomain ${subdomain} is taken`, {
    details: { subdomain },
    cause,
  });

const externalPortTaken = (external: number, cause?: unknown): InsienError =>
  new InsienError("conflict", `The external port ${external} of this host is taken`, {
    details: { external },
    cause,
  });
