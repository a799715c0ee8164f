import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { OwnerQuotas } from "./quotas.ts";
import type { Wanted } from "./quota-rules.ts";

/**
 * The rows of sandboxes, where an owner's quotas decide in the very transaction that would use them
 * up. Whoever creates or starts a sandbox, and why, cannot get around it.
 */
export function boundedRows(rows: SandboxRows, quotas: OwnerQuotas): SandboxRows {
  // One at a time of each owner's: those who wait for their turn hold no connection meanwhile.
  const turns = new KeyedMutex<string>();
  return {
    ...rows,
    insert: async (sandbox, event) => {
      const { ownerId } = sandbox;
      const admit = await quotas.admission(ownerId, ofCreate(sandbox));
      if (admit === undefined) return rows.insert(sandbox, event);
      return turns.run(ownerId, () => rows.insert(sandbox, event, admit));
    },
    transition: async (sandbox, changes, event) => {
      const { ownerId } = sandbox;
      const admit = isStart(sandbox, changes.state)
        ? await quotas.admission(ownerId, ofStart(sandbox))
        : undefined;
      if (admit === undefined) return rows.transition(sandbox, changes, event);
      return turns.run(ownerId, () => rows.transition(sandbox, changes, event, admit));
    },
  };
}

type Counted = Pick<SandboxRecord, "limits">;

/** What a new sandbox takes of its owner's quotas. */
export const ofCreate = ({ limits }: Counted): Wanted => ({
  ...ofStart({ limits }),
  sandboxes: 1,
  creates_per_minute: 1,
});

/** What a stopped one takes when it is started. */
const ofStart = ({ limits: { cpu, memoryBytes } }: Counted): Wanted => ({
  cpu,
  memory: memoryBytes,
  disk: 0,
});

const isStart = (sandbox: SandboxRecord, next: SandboxRecord["state"] | undefined): boolean =>
  sandbox.state === "stopped" && next === "creating";
