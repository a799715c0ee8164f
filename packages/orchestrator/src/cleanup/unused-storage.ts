import { LIMITS } from "@insien/protocol";
import type { Leftover, Runtime } from "@insien/runtime";
import type { VolumeStorage } from "../app/volume-storage.ts";
import type { VolumeRows } from "../db/index.ts";
import type { Finder, Finding } from "./finding.ts";

/** Volumes that were deleted while their host could not remove them, and storage that has no volume. */
export function unusedVolumes(parts: {
  storage: VolumeStorage;
  rows: VolumeRows;
  nodeId: string;
}): Finder {
  const { storage, rows, nodeId } = parts;
  return {
    kind: "volume",
    find: async (now) => {
      const deleted = await rows.removable(nodeId);
      const orphans = await storage.orphans();
      return [
        ...deleted.map((volume): Finding => ({
          kind: "volume",
          id: volume.id,
          reason: `The volume ${volume.name} was deleted, or its sandbox ended`,
          bytes: volume.usedBytes,
          remove: async () => {
            await storage.removeSoon(volume);
            return !(await rows.known([volume.id])).has(volume.id);
          },
        })),
        ...orphans
          .filter(({ createdAt }) => isOld(createdAt, now, LIMITS.cleanupGraceMs.value))
          .map(({ volumeId }): Finding => ({
            kind: "volume",
            id: volumeId,
            reason: "There is no volume for this storage",
            remove: () => storage.removeOrphan(volumeId),
          })),
      ];
    },
  };
}

/** Networks of machines that are gone, and images that were built here and that no machine uses. */
export function leftovers(parts: { runtime: Runtime; imageRetentionMs: number }): Finder {
  const { leftovers: found } = parts.runtime;
  const keptMs: Record<Leftover["kind"], number> = {
    network: LIMITS.cleanupGraceMs.value,
    machine: LIMITS.cleanupGraceMs.value,
    image: parts.imageRetentionMs,
  };
  return {
    kind: "network",
    find: async (now) =>
      ((await found?.find()) ?? [])
        .filter(({ kind, createdAt }) => isOld(createdAt, now, keptMs[kind]))
        .map((leftover) => ({
          kind: leftover.kind,
          id: leftover.id,
          reason: leftover.reason,
          bytes: leftover.bytes,
          remove: async () => (await found?.remove(leftover)) === true,
        })),
  };
}

const isOld = (createdAt: Date, now: Date, ageMs: number): boolean =>
  createdAt.getTime() <= now.getTime() - ageMs;
