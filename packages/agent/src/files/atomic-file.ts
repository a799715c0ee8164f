import { constants, type Stats } from "node:fs";
import {
  chmod,
  lchown,
  lstat,
  mkdir,
  open,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  type FileHandle,
} from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { InsienError, newId } from "@insien/protocol";
import type { FileUser } from "./file-context.ts";
import { hasCode, namingPath } from "./file-error.ts";

const NEW_FILE_MODE = 0o644;
const NEW_DIRECTORY_MODE = 0o755;
/** As many as Linux follows in one path. */
const LINKS_FOLLOWED = 40;

export interface MakeOptions {
  /** Permission bits; by default those of the file replaced, or 0o644. */
  mode?: number | undefined;
  /** Of what is newly made; `undefined`: the agent's own user. */
  owner?: FileUser | undefined;
  /** An entry of a directory that is held open: written itself, whatever link is put there. */
  heldAt?: string | undefined;
}

/** A name beside `path` that nothing has; the leading dot keeps it out of plain listings. */
export const temporaryBeside = (path: string): string =>
  join(dirname(path), `.insien-${newId()}.tmp`);

/** Makes a directory and its missing parents, all owned alike. `false`: it was there already. */
export async function makeDirectories(path: string, options: MakeOptions = {}): Promise<boolean> {
  const made = await makeMissing(path);
  if (made.length === 0) return false;
  if (options.owner !== undefined) {
    for (const directory of made) await lchown(directory, options.owner.uid, options.owner.gid);
  }
  if (options.mode !== undefined) await chmod(path, options.mode);
  return true;
}

/**
 * What it made, from the top down. Node's own recursive `mkdir` does not return where the kernel
 * lets nobody make directories and says that they do not exist, as in /proc.
 */
async function makeMissing(path: string): Promise<string[]> {
  const missing: string[] = [];
  let outcome = await makeOne(path);
  for (let at = path; outcome === "no parent" && at !== dirname(at);) {
    missing.unshift(at);
    at = dirname(at);
    outcome = await makeOne(at);
    if (outcome === "made") missing.unshift(at);
  }
  if (missing.length === 0) return outcome === "made" ? [path] : [];
  const made = outcome === "made" ? missing.splice(0, 1) : [];
  for (const directory of missing) {
    const again = await makeOne(directory);
    if (again === "made") made.push(directory);
    else if (again === "no parent") {
      throw new InsienError("permission_denied", `no directory can be made at ${directory}`);
    }
  }
  return made;
}

async function makeOne(path: string): Promise<"made" | "there" | "no parent"> {
  try {
    await mkdir(path, { mode: NEW_DIRECTORY_MODE });
    return "made";
  } catch (error) {
    if (hasCode(error, "ENOENT")) return "no parent";
    // Whatever the reason is that it could not be made, a directory that is there will do.
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() === true) return "there";
    throw error;
  }
}

/** What a write to `path` replaces or makes: links are followed, dangling ones too. */
async function writeTarget(path: string): Promise<{ target: string; existing: Stats | undefined }> {
  let target = path;
  for (let followed = 0; followed < LINKS_FOLLOWED; followed += 1) {
    try {
      target = await realpath(target);
      return { target, existing: await stat(target) };
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
    const link = await lstat(target).catch(() => undefined);
    if (link?.isSymbolicLink() !== true) return { target, existing: undefined };
    target = resolve(dirname(target), await readlink(target));
  }
  throw new InsienError("too_many_links", `${path} leads through too many symbolic links`);
}

async function heldTarget(heldAt: string): Promise<{ target: string; existing?: Stats }> {
  try {
    return { target: heldAt, existing: await lstat(heldAt) };
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    return { target: heldAt };
  }
}

function refuseSpecial(path: string, existing: Stats | undefined): void {
  if (existing === undefined || existing.isFile()) return;
  if (existing.isDirectory()) throw new InsienError("is_a_directory", `${path} is a directory`);
  throw new InsienError("not_a_file", `${path} is not a regular file`);
}

async function openNew(temporary: string, path: string): Promise<FileHandle> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
  return open(temporary, flags, 0o600).catch((error: unknown) => {
    if (!hasCode(error, "ENOENT")) throw error;
    // The directory is there: it is one of the kernel's, where nothing can be made.
    throw new InsienError("permission_denied", `no files can be made beside ${path}`);
  });
}

/**
 * A file being written under a temporary name beside its target. `commit` puts it in place in one
 * step; disposed of without that, nothing of it stays and the old content is untouched.
 */
export class AtomicFile implements AsyncDisposable {
  readonly handle: FileHandle;
  readonly #target: string;
  readonly #temporary: string;
  #open = true;

  private constructor(handle: FileHandle, target: string, temporary: string) {
    this.handle = handle;
    this.#target = target;
    this.#temporary = temporary;
  }

  /** Makes missing parents. Throws `is_a_directory`, `not_a_file`, `permission_denied` ... */
  static async create(path: string, options: MakeOptions = {}): Promise<AtomicFile> {
    return namingPath(path, async () => {
      const { heldAt, owner: parentOwner } = options;
      const { target, existing } = await (heldAt === undefined
        ? writeTarget(path)
        : heldTarget(heldAt));
      refuseSpecial(path, existing);
      if (heldAt === undefined) await makeDirectories(dirname(target), { owner: parentOwner });
      const temporary = temporaryBeside(target);
      const handle = await openNew(temporary, path);
      const file = new AtomicFile(handle, target, temporary);
      try {
        const owner = process.getuid?.() === 0 ? (existing ?? options.owner) : undefined;
        if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
        // After chown, which clears the set-user-id bits.
        const mode = options.mode ?? (existing === undefined ? NEW_FILE_MODE : existing.mode);
        await handle.chmod(mode & 0o7777);
        return file;
      } catch (error) {
        await file[Symbol.asyncDispose]();
        throw error;
      }
    });
  }

  async commit(): Promise<void> {
    await this.handle.close();
    await rename(this.#temporary, this.#target);
    this.#open = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.handle.close().catch(() => undefined);
    await rm(this.#temporary, { force: true });
  }
}

/** Replaces or makes the file at `path` with `content`. */
export async function writeFileAtomically(
  path: string,
  content: Uint8Array,
  options: MakeOptions = {},
): Promise<void> {
  await namingPath(path, async () => {
    await using file = await AtomicFile.create(path, options);
    await file.handle.writeFile(content);
    await file.commit();
  });
}
