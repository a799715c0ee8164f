/**
 * Paths that must not lead out of a directory, whatever programs of other sandboxes put on the way:
 * each directory is held open, each step is taken from the one before, and links are read and gone
 * along here, never by the kernel.
 */
import { constants } from "node:fs";
import { mkdir, open, readlink, type FileHandle } from "node:fs/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import type { FileUser } from "./file-context.ts";
import { hasCode } from "./file-error.ts";

export const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY;
const NEW_DIRECTORY_MODE = 0o755;
/** As many as Linux follows in one path. */
const LINKS_FOLLOWED = 40;

/** A path of the kernel's that starts at the open directory itself. */
export const below = (directory: FileHandle, name: string): string =>
  `/proc/self/fd/${directory.fd}/${name}`;

interface WayOptions {
  /** Directories that are missing on the way are made, and are this user's. */
  makesMissing?: { owner: FileUser | undefined };
}

/** An entry of a directory that is held open until this is disposed of. */
export class ConfinedPath implements AsyncDisposable {
  readonly #path: string;
  readonly #root: string;
  readonly #options: WayOptions;
  /** From the root down. */
  readonly #held: FileHandle[] = [];
  #name = ".";

  private constructor(path: string, root: string, options: WayOptions) {
    this.#path = path;
    this.#root = root;
    this.#options = options;
  }

  /**
   * Where `path`, which is `root` or below it, really leads. Throws `invalid_path` when that is out of
   * `root`; `file_not_found` only for what is missing on the way, not for the entry itself.
   */
  static async open(path: string, root: string, options: WayOptions = {}): Promise<ConfinedPath> {
    const confined = new ConfinedPath(path, root, options);
    try {
      confined.#held.push(await open(root, DIRECTORY));
      await confined.#walk();
      return confined;
    } catch (error) {
      await confined[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** For one call of the system, which must not follow a link that is put there meanwhile. */
  get at(): string {
    return below(this.#here, this.#name);
  }

  /** The entry as a directory, open. */
  enter(): Promise<FileHandle> {
    return enter(this.#here, this.#name);
  }

  /** Makes the entry a directory and gives it `mode`. `false`: it is one already. */
  async makeDirectory(owner: FileUser | undefined, mode: number | undefined): Promise<boolean> {
    const found = await this.enter().catch((error: unknown) => {
      if (hasCode(error, "ENOENT")) return undefined;
      if (hasCode(error, "ENOTDIR", "ELOOP"))
        throw new InsienError("file_exists", `${this.#path} exists already`);
      throw error;
    });
    await found?.close();
    if (found !== undefined) return false;
    const made = await make(this.#here, this.#name, owner);
    try {
      if (mode !== undefined) await made.chmod(mode);
    } finally {
      await made.close();
    }
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const handle of this.#held.splice(0)) await handle.close();
  }

  get #here(): FileHandle {
    // The root is held as long as anything is.
    return this.#held.at(-1) as FileHandle;
  }

  async #walk(): Promise<void> {
    const names = this.#belowRoot(this.#path);
    let links = 0;
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      if (name === "..") {
        await this.#up();
        continue;
      }
      const target = await linkAt(this.#here, name);
      if (target === undefined) {
        if (names.length === 0) this.#name = name;
        else await this.#down(name);
        continue;
      }
      links += 1;
      if (links > LINKS_FOLLOWED) {
        const message = `${this.#path} leads through too many symbolic links`;
        throw new InsienError("too_many_links", message);
      }
      names.unshift(...(await this.#along(target)));
    }
  }

  /** The names that a link stands for, from where the way has got to. */
  async #along(target: string): Promise<string[]> {
    if (!target.startsWith("/")) return namesOf(target);
    const names = this.#belowRoot(target);
    while (this.#held.length > 1) await this.#up();
    return names;
  }

  #belowRoot(path: string): string[] {
    const root = this.#root.endsWith("/") ? this.#root : `${this.#root}/`;
    if (path !== this.#root && !path.startsWith(root)) throw this.#leadsOut();
    return namesOf(path.slice(root.length));
  }

  async #up(): Promise<void> {
    if (this.#held.length === 1) throw this.#leadsOut();
    await this.#held.pop()?.close();
  }

  async #down(name: string): Promise<void> {
    if (this.#held.length > LIMITS.archiveDepth.value) {
      const message = `more than ${LIMITS.archiveDepth.value} directories inside each other`;
      throw new InsienError("invalid_path", message);
    }
    const { makesMissing } = this.#options;
    const next = await enter(this.#here, name).catch((error: unknown) => {
      if (makesMissing === undefined || !hasCode(error, "ENOENT")) throw error;
      return make(this.#here, name, makesMissing.owner);
    });
    this.#held.push(next);
  }

  #leadsOut(): InsienError {
    return new InsienError("invalid_path", `${this.#path} leads out of ${this.#root}`);
  }
}

const namesOf = (path: string): string[] =>
  path.split("/").filter((name) => name !== "" && name !== ".");

const enter = (parent: FileHandle, name: string): Promise<FileHandle> =>
  open(below(parent, name), DIRECTORY | constants.O_NOFOLLOW);

async function make(
  parent: FileHandle,
  name: string,
  owner: FileUser | undefined,
): Promise<FileHandle> {
  await mkdir(below(parent, name), { mode: NEW_DIRECTORY_MODE });
  const made = await enter(parent, name);
  if (owner !== undefined) await made.chown(owner.uid, owner.gid);
  return made;
}

/** What a symbolic link says; `undefined` for anything else, be it missing. */
const linkAt = (parent: FileHandle, name: string): Promise<string | undefined> =>
  readlink(below(parent, name)).catch((error: unknown) => {
    if (hasCode(error, "EINVAL", "ENOENT")) return undefined;
    throw error;
  });
