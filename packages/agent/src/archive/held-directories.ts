/**
 * The way from a folder down to where an entry is made. Each directory on it is held open and each
 * step is taken from the one before, never through a link, so that whatever a program in the sandbox
 * exchanges meanwhile, nothing is made outside of the folder.
 */
import { constants } from "node:fs";
import { lchown, mkdir, open, type FileHandle } from "node:fs/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import { DIRECTORY, below } from "../files/confined-path.ts";
import type { FileUser } from "../files/file-context.ts";
import { hasCode } from "../files/file-error.ts";

const NEW_DIRECTORY_MODE = 0o755;

/** What a directory gets when nothing more is put into it. */
export interface DirectoryMarks {
  mode: number;
  modified: number;
}

interface Held {
  name: string;
  handle: FileHandle;
  marks?: DirectoryMarks;
}

export class HeldDirectories implements AsyncDisposable {
  readonly #root: FileHandle;
  readonly #owner: FileUser | undefined;
  readonly #makesMissing: boolean;
  #way: Held[] = [];

  private constructor(root: FileHandle, owner: FileUser | undefined, makesMissing = true) {
    this.#root = root;
    this.#owner = owner;
    this.#makesMissing = makesMissing;
  }

  /** `path` itself may lead through links: whoever asked named it. */
  static async open(path: string, owner: FileUser | undefined): Promise<HeldDirectories> {
    return new HeldDirectories(await open(path, DIRECTORY), owner);
  }

  /** A path for the entry `name` in the directory that `parents` lead to, which are made if missing. */
  async place(parents: readonly string[], name: string): Promise<string> {
    const directory = await this.#enter(parents);
    return below(directory, name);
  }

  /** Makes a directory, or takes the one that is there. It gets its marks once it is left. */
  async make(parts: readonly string[], marks: DirectoryMarks): Promise<void> {
    await this.#enter(parts);
    const last = this.#way.at(-1);
    if (last !== undefined) last.marks = marks;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { handle } of this.#way) await handle.close();
    this.#way = [];
    await this.#root.close();
  }

  /** Another way down from the same folder, on which nothing is made. */
  async again(): Promise<HeldDirectories> {
    const root = await open(below(this.#root, "."), DIRECTORY);
    return new HeldDirectories(root, this.#owner, false);
  }

  /** Leaves all directories, which then have their marks. */
  async leave(): Promise<void> {
    await this.#leaveTo(0);
  }

  async #enter(parts: readonly string[]): Promise<FileHandle> {
    if (parts.length > LIMITS.archiveDepth.value) {
      const message = `more than ${LIMITS.archiveDepth.value} directories inside each other`;
      throw new InsienError("invalid_path", message);
    }
    let shared = 0;
    while (shared < parts.length && this.#way[shared]?.name === parts[shared]) shared += 1;
    await this.#leaveTo(shared);
    for (const name of parts.slice(shared)) {
      const parent = this.#way.at(-1)?.handle ?? this.#root;
      this.#way.push({ name, handle: await this.#step(parent, name) });
    }
    return this.#way.at(-1)?.handle ?? this.#root;
  }

  async #leaveTo(depth: number): Promise<void> {
    while (this.#way.length > depth) {
      const held = this.#way.pop();
      if (held === undefined) return;
      try {
        if (held.marks === undefined) continue;
        await held.handle.chmod(held.marks.mode);
        await held.handle.utimes(held.marks.modified, held.marks.modified);
      } finally {
        await held.handle.close();
      }
    }
  }

  async #step(parent: FileHandle, name: string): Promise<FileHandle> {
    const path = below(parent, name);
    const flags = DIRECTORY | constants.O_NOFOLLOW;
    try {
      return await open(path, flags);
    } catch (error) {
      if (!hasCode(error, "ENOENT") || !this.#makesMissing) throw notEntered(error, name);
    }
    await mkdir(path, { mode: NEW_DIRECTORY_MODE });
    if (this.#owner !== undefined) await lchown(path, this.#owner.uid, this.#owner.gid);
    return open(path, flags);
  }
}

function notEntered(error: unknown, name: string): unknown {
  if (!hasCode(error, "ENOTDIR", "ELOOP")) return error;
  return new InsienError(
    "not_a_directory",
    `${name} is there already and is a link or a file, which is not gone through`,
  );
}
