/** Copy, move, remove and chmod: what acts on whole trees. */
import type { Stats } from "node:fs";
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  mkdir,
  opendir,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  unlink,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { InsienError } from "@insien/protocol";
import { makeDirectories, temporaryBeside } from "./atomic-file.ts";
import type { FileUser } from "./file-context.ts";
import { hasCode } from "./file-error.ts";
import { openRegularFile } from "./regular-file.ts";

interface PlaceOptions {
  /** Replace what is at the target, a whole directory too. */
  overwrite?: boolean | undefined;
  /** Of copies and of parents made; `undefined`: the agent's own user. */
  owner?: FileUser | undefined;
}

/** Owner of a copy: fixed, or each entry's own as when a move crosses file systems. */
type CopyOwner = FileUser | "same" | undefined;

const present = async (path: string): Promise<Stats | undefined> =>
  lstat(path).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  });

async function copyEntry(from: string, to: string, owner: CopyOwner): Promise<void> {
  const stats = await lstat(from);
  if (stats.isSymbolicLink()) {
    await symlink(await readlink(from), to);
  } else if (stats.isDirectory()) {
    await mkdir(to, { mode: 0o700 });
    for await (const entry of await opendir(from)) {
      await copyEntry(join(from, entry.name), join(to, entry.name), owner);
    }
  } else {
    // Refuses pipes and devices, and the agent's own files, before anything is read of them.
    const { handle } = await openRegularFile(from);
    await handle.close();
    await copyFile(from, to);
  }
  const user = owner === "same" ? stats : owner;
  if (user !== undefined && process.getuid?.() === 0) await lchown(to, user.uid, user.gid);
  if (!stats.isSymbolicLink()) await chmod(to, stats.mode & 0o7777);
}

async function refuseOccupied(from: string, to: string, options: PlaceOptions): Promise<void> {
  if (to === from || to.startsWith(`${from}/`)) {
    throw new InsienError("invalid_request", `${to} lies inside ${from}`);
  }
  if (from.startsWith(to === "/" ? to : `${to}/`)) {
    throw new InsienError("invalid_request", `${from} lies inside ${to}, which it would replace`);
  }
  if (options.overwrite !== true && (await present(to)) !== undefined) {
    throw new InsienError("file_exists", `${to} exists already`);
  }
}

/** Renames over whatever is at `to`, which `rename` alone refuses for directories. */
async function putInPlace(from: string, to: string): Promise<void> {
  const occupant = await present(to);
  const simple =
    occupant === undefined || !(occupant.isDirectory() || (await lstat(from)).isDirectory());
  if (simple) return rename(from, to);
  const aside = temporaryBeside(to);
  await rename(to, aside);
  try {
    await rename(from, to);
  } catch (error) {
    await rename(aside, to);
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}

async function copyInPlace(from: string, to: string, owner: CopyOwner): Promise<void> {
  const temporary = temporaryBeside(to);
  try {
    await copyEntry(from, temporary, owner);
    await putInPlace(temporary, to);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** Copies a file, link or tree; the target appears whole or not at all. */
export async function copyTree(from: string, to: string, options: PlaceOptions): Promise<void> {
  await lstat(from);
  await refuseOccupied(from, to, options);
  await makeDirectories(dirname(to), { owner: options.owner });
  await copyInPlace(from, to, options.owner);
}

/** Moves a file, link or tree, between file systems too. */
export async function moveTree(from: string, to: string, options: PlaceOptions): Promise<void> {
  await lstat(from);
  if (from === to) return;
  await refuseOccupied(from, to, options);
  await makeDirectories(dirname(to), { owner: options.owner });
  try {
    await putInPlace(from, to);
  } catch (error) {
    if (!hasCode(error, "EXDEV")) throw error;
    await copyInPlace(from, to, "same");
    await rm(from, { recursive: true });
  }
}

/** `false` when there was nothing. A directory that holds something needs `recursive`. */
export async function removeTree(
  path: string,
  options: { recursive?: boolean | undefined } = {},
): Promise<boolean> {
  if (path === "/") throw new InsienError("permission_denied", "/ is not removed");
  const stats = await present(path);
  if (stats === undefined) return false;
  if (!stats.isDirectory()) await unlink(path);
  else if (options.recursive === true) await rm(path, { recursive: true });
  else await rmdir(path);
  return true;
}

/** Sets permission bits; inside a tree symbolic links are left alone, since their targets may lie anywhere. */
export async function changeMode(
  path: string,
  mode: number,
  options: { recursive?: boolean | undefined } = {},
): Promise<void> {
  const isTree = options.recursive === true && (await lstat(path)).isDirectory();
  if (isTree) {
    for await (const entry of await opendir(path)) {
      if (!entry.isSymbolicLink()) await changeMode(join(path, entry.name), mode, options);
    }
  }
  // Last, so that taking away the right to enter a directory does not stop the way into it.
  await chmod(path, mode);
}
