import { InsienError, type SandboxId } from "@insien/protocol";
import { and, asc, eq } from "drizzle-orm";
import type { Connection } from "./connection.ts";
import { type Absent, withNulls, withoutNulls } from "./records.ts";
import { sandboxPorts } from "./schema/ports.ts";

type Row = typeof sandboxPorts.$inferSelect;
export type SandboxPortRecord = Absent<Row>;

export interface SandboxPortRows {
  /**
   * Stores ports of one sandbox, all or none; those that are there already stay as they are. Throws
   * `conflict` that names the subdomain or the external port that is taken.
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

export function sandboxPortRows({ drizzle, read, write }: Connection): SandboxPortRows {
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
      const inserting = drizzle
        .insert(sandboxPorts)
        .values(rows)
        .onConflictDoNothing({ target: [sandboxPorts.sandboxId, sandboxPorts.internal] });
      try {
        await read(() => inserting);
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
  };
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
