import { opendir } from "node:fs/promises";
import { join } from "node:path";
import { LIMITS, type FileInfo } from "@insien/protocol";
import { ConfinedPath, below } from "./confined-path.ts";
import { fileInfo } from "./file-info.ts";
import { hasCode } from "./file-error.ts";

interface Listing {
  /** By path, so that a directory stands before what it holds. */
  entries: FileInfo[];
  /** There was more than `limit`. The nearest levels are then complete first. */
  truncated: boolean;
}

/** At once in flight; Node's thread pool takes four of them at a time. */
const STATS_AT_ONCE = 64;

async function namesIn(directory: string, limit: number): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(directory, { bufferSize: 256 })) {
    names.push(entry.name);
    if (names.length >= limit) break;
  }
  return names;
}

/** Something removed or locked while the listing runs is left out, not an error. */
const unlessGone = async (path: string): Promise<FileInfo | undefined> =>
  fileInfo(path).catch((error: unknown) => {
    if (hasCode(error, "ENOENT", "ENOTDIR", "EACCES", "EPERM")) return undefined;
    throw error;
  });

async function infosOf(at: string, names: string[]): Promise<FileInfo[]> {
  const infos: FileInfo[] = [];
  for (let start = 0; start < names.length; start += STATS_AT_ONCE) {
    const some = names.slice(start, start + STATS_AT_ONCE);
    const batch = await Promise.all(some.map((name) => unlessGone(join(at, name))));
    infos.push(...batch.filter((info) => info !== undefined));
  }
  return infos;
}

/** Of one directory, at most one more than `room` of them, named as below `directory`. */
async function entriesOf(
  directory: string,
  at: string,
  room: number,
): Promise<{ infos: FileInfo[]; isMore: boolean }> {
  const names = await namesIn(at, room + 1);
  const found = await infosOf(at, names.slice(0, room));
  const infos = found.map((info) => ({ ...info, path: join(directory, info.name) }));
  return { infos, isMore: names.length > room };
}

async function entriesBelow(
  confinedTo: string,
  directory: string,
  room: number,
): ReturnType<typeof entriesOf> {
  await using place = await ConfinedPath.open(directory, confinedTo);
  await using held = await place.enter();
  return await entriesOf(directory, below(held, "."), room);
}

/** Lists `root` down to `depth` levels (1: its own entries), level by level up to `limit` entries. */
export async function listDirectory(
  root: string,
  options: {
    depth?: number | undefined;
    limit?: number | undefined;
    /** Nothing outside of this directory is shown. */
    root?: string | undefined;
  } = {},
): Promise<Listing> {
  const { depth = 1, limit = LIMITS.directoryEntries.value, root: confinedTo } = options;
  const entries: FileInfo[] = [];
  let level = [root];
  for (let depthReached = 0; depthReached < depth && level.length > 0; depthReached += 1) {
    const next: string[] = [];
    for (const directory of level) {
      const room = limit - entries.length;
      const listing =
        confinedTo === undefined
          ? entriesOf(directory, directory, room)
          : entriesBelow(confinedTo, directory, room);
      const { infos, isMore } = await listing.catch((error: unknown) => {
        if (directory === root) throw error;
        return { infos: [], isMore: false };
      });
      entries.push(...infos);
      if (isMore) return { entries: byPath(entries), truncated: true };
      next.push(...infos.filter((info) => info.type === "directory").map((info) => info.path));
    }
    level = next;
  }
  return { entries: byPath(entries), truncated: false };
}

const byPath = (entries: FileInfo[]): FileInfo[] =>
  entries.sort((left, right) => (left.path < right.path ? -1 : 1));
