import { constants } from "node:fs";
import { lchown, link, lutimes, open, symlink, unlink } from "node:fs/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import { makeDirectories } from "../files/atomic-file.ts";
import type { FileUser } from "../files/file-context.ts";
import { fileError, hasCode, namingPath } from "../files/file-error.ts";
import { ByteSource } from "./byte-source.ts";
import { HeldDirectories } from "./held-directories.ts";
import { TarReader, type TarEntry } from "./tar-reader.ts";

export interface Unpacked {
  entries: number;
  /** Of all files together. */
  size: number;
}

/** The set-id bits and the sticky one are nothing that an archive may give. */
const MODE_MASK = 0o777;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** The parts of a name that stays inside. Throws `invalid_path`. */
function partsOf(name: string, entry: string): string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const leaves = name.startsWith("/") || parts.includes("..");
  const tooLong = Buffer.byteLength(name) > LIMITS.pathBytes.value;
  if (!leaves && !tooLong && !name.includes("\0")) return parts;
  const why = leaves ? "leads out of the folder" : "is too long";
  throw new InsienError("invalid_path", `the tar's entry ${entry} ${why}`, { details: { entry } });
}

/**
 * Unpacks a tar into the folder `path`, made where it is missing. Nothing is made outside of it and
 * nothing is followed in it; what is in the way of an entry is replaced, a directory excepted. All
 * belongs to `owner`. Throws at the first entry that cannot be taken, naming it; those before stay.
 */
export async function unpackTar(
  chunks: AsyncIterable<unknown>,
  path: string,
  owner: FileUser | undefined,
): Promise<Unpacked> {
  const source = new ByteSource(chunks);
  const reader = new TarReader(source);
  await namingPath(path, () => makeDirectories(path, { owner }));
  await using directories = await namingPath(path, () => HeldDirectories.open(path, owner));
  const unpacked: Unpacked = { entries: 0, size: 0 };
  for (;;) {
    const entry = await reader.next();
    if (entry === undefined) break;
    unpacked.entries += 1;
    if (unpacked.entries > LIMITS.archiveEntries.value) {
      throw new InsienError(
        "limit_reached",
        `a tar may have ${LIMITS.archiveEntries.value} entries`,
      );
    }
    unpacked.size += entry.size;
    await namingEntry(entry.name, () => takeEntry(reader, entry, directories, owner));
  }
  await namingPath(path, () => directories.leave());
  await source.drain();
  return unpacked;
}

async function namingEntry(name: string, action: () => Promise<void>): Promise<void> {
  const entry = name.slice(0, LIMITS.recordedArgumentCharacters.value);
  try {
    await action();
  } catch (error) {
    const { code, message } = fileError(error, entry);
    const named = message.includes(entry) ? message : `the tar's entry ${entry}: ${message}`;
    throw new InsienError(code, named, { cause: error, details: { entry } });
  }
}

async function takeEntry(
  reader: TarReader,
  entry: TarEntry,
  directories: HeldDirectories,
  owner: FileUser | undefined,
): Promise<void> {
  const parts = partsOf(entry.name, entry.name);
  const mode = entry.mode & MODE_MASK;
  if (entry.type === "directory") {
    // A tar's "./" is the folder itself, which stays as whoever made it wanted it.
    if (parts.length > 0) await directories.make(parts, { mode, modified: entry.modified });
    return;
  }
  const name = parts.pop();
  if (name === undefined) throw new InsienError("invalid_path", "an entry has no name");
  if (entry.type === "link") {
    const from = partsOf(entry.target, entry.name);
    const fromName = from.pop() ?? "";
    await using others = await directories.again();
    const source = await others.place(from, fromName);
    const place = await directories.place(parts, name);
    await replacing(place, () => link(source, place));
    return;
  }
  const place = await directories.place(parts, name);
  if (entry.type === "symlink") {
    await replacing(place, () => symlink(entry.target, place));
    if (owner !== undefined) await lchown(place, owner.uid, owner.gid);
    await lutimes(place, entry.modified, entry.modified);
    return;
  }
  const file = await replacing(place, () => open(place, NEW_FILE, 0o600));
  try {
    for await (const bytes of reader.content(entry)) await file.writeFile(bytes);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
    await file.utimes(entry.modified, entry.modified);
  } finally {
    await file.close();
  }
}

/** Takes away what has the name already: writing into it might write into another name's file, too. */
async function replacing<Value>(place: string, make: () => Promise<Value>): Promise<Value> {
  try {
    return await make();
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  await unlink(place);
  return make();
}
