import { LIMITS } from "@insien/protocol";
import type { SandboxRows } from "../db/index.ts";
import type { Finder } from "./finding.ts";

const PURGES_AT_ONCE = 50;

/** Sandboxes that ended so long ago that nobody asks for them, with their events and what they used. */
export function oldRecords(parts: { store: SandboxRows; retentionMs: number }): Finder {
  const { store, retentionMs } = parts;
  return {
    kind: "record",
    find: async (now) => {
      const before = new Date(now.getTime() - retentionMs);
      const count = await store.countEnded(before);
      if (count === 0) return [];
      return [
        {
          kind: "record",
          id: "sandboxes",
          reason: `${count} sandboxes ended before ${before.toISOString()}`,
          remove: async () => {
            for (let purge = 0; purge < PURGES_AT_ONCE; purge += 1)
              if ((await store.purge(before)) < LIMITS.purgeRows.value) break;
            return true;
          },
        },
      ];
    },
  };
}
