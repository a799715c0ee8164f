import { LIMITS } from "@insien/protocol";
import type { SandboxMoves } from "../app/sandbox-moves.ts";
import type { SandboxRows } from "../db/index.ts";
import type { Finder } from "./finding.ts";

const REASON = "Its time to live was over";

/**
 * Sandboxes whose time is over and whose node does not see to it: it is down, or has none of them in
 * memory. Only the wish to destroy them is written, which their node carries out, now or when it is
 * back. Whether a sandbox is idle only its node knows, which sees what runs in it: that is not
 * judged here.
 */
export function expiredSandboxes(parts: { store: SandboxRows; moves: SandboxMoves }): Finder {
  const { store, moves } = parts;
  return {
    kind: "sandbox",
    find: async (now) => {
      const overdue = new Date(now.getTime() - LIMITS.cleanupOverdueMs.value);
      const due = await store.due(overdue, LIMITS.cleanupItems.value);
      return due
        .filter(({ cause }) => cause === "expired")
        .map(({ id, diskBytes }) => ({
          kind: "sandbox",
          id,
          reason: REASON,
          bytes: diskBytes,
          remove: async () =>
            (await moves.move(id, "destroyRequested", { stateReason: REASON })).isMoved,
        }));
    },
  };
}
