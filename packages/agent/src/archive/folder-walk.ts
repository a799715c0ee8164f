import { read, type Dirent, type Stats } from "node:fs";
import { lstat, opendir, readlink, statfs } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import { InsienError, MACHINE_PATHS } from "@insien/protocol";
import { hasCode } from "../files/file-error.ts";
import { withDescriptor } from "../files/regular-file.ts";
import type { ArchiveEntry } from "./archive-entry.ts";

/** Files up to this are read ahead, several at once: a folder of many small ones is bound by waiting. */
const SMALL_FILE_BYTES = 128 * 1024;
const AHEAD = 16;

/** Magic numbers of file systems that show the kernel's state: no files, and some without an end. */
const KERNEL_FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x1cd1, // devpts
  0x19800202, // mqueue
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xcafe4a11, // bpf
]);
const OURS: ReadonlySet<string> = new Set([MACHINE_PATHS.kit, MACHINE_PATHS.line]);
const readDescriptor = promisify(read);
const SLASH = Buffer.from("/");
const NOTHING = Buffer.alloc(0);

interface Found {
  path: Buffer;
  name: Buffer;
}

const isGone = (error: unknown): boolean => hasCode(error, "ENOENT", "ENOTDIR");

/** Gives up silently on what was removed meanwhile: it is in no folder any more. */
async function unlessGone<Value>(action: Promise<Value>): Promise<Value | undefined> {
  return action.catch((error: unknown) => {
    if (isGone(error)) return undefined;
    throw error;
  });
}

const nameOf = ({ name }: { name: unknown }): Buffer =>
  Buffer.isBuffer(name) ? name : Buffer.from(String(name));

async function isDirectory(entry: Dirent, path: Buffer): Promise<boolean> {
  if (entry.isDirectory()) return true;
  if (entry.isFile() || entry.isSymbolicLink()) return false;
  // Some file systems do not say in the directory what an entry is.
  return (await unlessGone(lstat(path)))?.isDirectory() ?? false;
}

async function isEntered(path: Buffer, parentDevice: number): Promise<number | undefined> {
  if (OURS.has(path.toString())) return undefined;
  const stats = await unlessGone(lstat(path));
  if (stats?.isDirectory() !== true) return undefined;
  if (stats.dev === parentDevice) return stats.dev;
  const { type } = await statfs(path);
  return KERNEL_FILE_SYSTEMS.has(type) ? undefined : stats.dev;
}

/** Everything below a directory, each one before what is in it. */
async function* walk(directory: Found, device: number): AsyncGenerator<Found> {
  const opened = await unlessGone(opendir(directory.path, { encoding: "buffer" as never }));
  if (opened === undefined) return;
  for await (const entry of opened) {
    const own = nameOf(entry);
    const prefix = directory.path.equals(SLASH) ? SLASH : Buffer.concat([directory.path, SLASH]);
    const path = Buffer.concat([prefix, own]);
    const found = { path, name: Buffer.concat([directory.name, own]) };
    yield found;
    if (!(await isDirectory(entry, path))) continue;
    const inside = await isEntered(path, device);
    if (inside === undefined) continue;
    yield* walk({ path, name: Buffer.concat([found.name, SLASH]) }, inside);
  }
}

async function readSmall(path: Buffer, size: number): Promise<Buffer> {
  return withDescriptor(path, async (fd) => {
    const content = Buffer.allocUnsafe(size);
    let length = 0;
    while (length < size) {
      const { bytesRead } = await readDescriptor(fd, content, length, size - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return content.subarray(0, length);
  });
}

/** `undefined` for what no archive holds: sockets, pipes, devices, and what is gone again. */
async function prepare({ path, name }: Found): Promise<ArchiveEntry | undefined> {
  const stats = await lstat(path);
  const entry = {
    name,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    modified: Math.floor(stats.mtimeMs / 1000),
    content: NOTHING,
  };
  if (stats.isDirectory()) {
    return { ...entry, type: "directory", name: Buffer.concat([name, SLASH]) };
  }
  if (stats.isSymbolicLink()) {
    return { ...entry, type: "symlink", content: await readlink(path, { encoding: "buffer" }) };
  }
  if (!stats.isFile()) return undefined;
  return { ...entry, type: "file", ...(await contentOf(path, stats)) };
}

async function contentOf(
  path: Buffer,
  { size }: Stats,
): Promise<Pick<ArchiveEntry, "content" | "large">> {
  if (size > SMALL_FILE_BYTES) return { content: NOTHING, large: { path, size } };
  if (size === 0) return { content: NOTHING };
  return { content: await readSmall(path, size) };
}

/**
 * The entries of a folder, named from it, or of one file, named by itself. Links are told as links.
 * File systems of the kernel's below it are empty directories here.
 * What vanishes meanwhile is left out; what may not be read is thrown.
 */
export async function* archiveEntries(root: string): AsyncGenerator<ArchiveEntry> {
  const stats = await lstat(root);
  if (KERNEL_FILE_SYSTEMS.has((await statfs(root)).type)) {
    throw new InsienError(
      "not_a_file",
      `${root} shows the kernel's state, which is no folder of files`,
    );
  }
  const founds = stats.isDirectory()
    ? walk({ path: Buffer.from(root), name: Buffer.alloc(0) }, stats.dev)
    : [{ path: Buffer.from(root), name: Buffer.from(basename(root)) }];
  const ahead: Promise<ArchiveEntry | undefined>[] = [];
  for await (const found of founds) {
    const prepared = unlessGone(prepare(found));
    // It may fail before its turn comes to be awaited.
    prepared.catch(() => undefined);
    ahead.push(prepared);
    if (ahead.length < AHEAD) continue;
    const entry = await ahead.shift();
    if (entry !== undefined) yield entry;
  }
  for (const prepared of ahead) {
    const entry = await prepared;
    if (entry !== undefined) yield entry;
  }
}
