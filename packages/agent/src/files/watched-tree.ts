import { watch, type FSWatcher } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { LIMITS } from "@insien/protocol";

/** Changes that follow each other within this time are told as one. */
const SETTLE_MS = 8;

export type TreeEvent = "create" | "modify" | "remove";

export interface TreeEvents {
  event(event: TreeEvent, path: string, isDirectory: boolean): void;
  /** Changes may have gone untold, or parts of the tree are not watched. */
  overflow(): void;
  /** The root is gone; nothing follows. */
  end(): void;
}

interface Entry {
  inode: number;
  isDirectory: boolean;
}

interface WatchedDirectory {
  watcher: FSWatcher;
  /** What it held when last looked at, by name: how new and replaced entries are told apart. */
  entries: Map<string, Entry>;
}

/**
 * A directory, with `recursive` all below it, watched with one inotify watch per directory. Node's
 * own recursive watching misses what is made in a directory before that is watched; here each new
 * directory is watched first and read then. The kernel's notices only say where to look: what is
 * told follows from comparing with what was there before.
 */
export class WatchedTree implements Disposable {
  readonly #root: string;
  readonly #recursive: boolean;
  readonly #events: TreeEvents;
  readonly #directories = new Map<string, WatchedDirectory>();
  /** Paths to look at; `true`: their content was written to. */
  #pending = new Map<string, boolean>();
  #timer: NodeJS.Timeout | undefined;
  #rootInode = 0;
  #looking = false;
  #closed = false;
  #isFull = false;

  private constructor(root: string, recursive: boolean, events: TreeEvents) {
    this.#root = root;
    this.#recursive = recursive;
    this.#events = events;
  }

  /** Resolves once everything below `root` is watched. Throws what the system says of `root`. */
  static async open(
    root: string,
    options: { recursive: boolean },
    events: TreeEvents,
  ): Promise<WatchedTree> {
    const tree = new WatchedTree(root, options.recursive, events);
    try {
      tree.#rootInode = (await lstat(root)).ino;
      await tree.#enter(root, { tell: false });
      return tree;
    } catch (error) {
      tree[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { watcher } of this.#directories.values()) watcher.close();
    this.#directories.clear();
  }

  /** Watches a directory, then reads it, so that nothing falls between the two. */
  async #enter(path: string, options: { tell: boolean }): Promise<void> {
    if (this.#closed || this.#directories.has(path)) return;
    if (this.#directories.size >= LIMITS.watchDirectories.value) return this.#overflowOnce();
    const directory = { watcher: this.#watch(path), entries: new Map<string, Entry>() };
    this.#directories.set(path, directory);
    for (const found of await readdir(path, { withFileTypes: true })) {
      await this.#meet(directory, join(path, found.name), found.name, options);
    }
  }

  async #meet(
    directory: WatchedDirectory,
    path: string,
    name: string,
    options: { tell: boolean },
  ): Promise<void> {
    const stats = await lstat(path).catch(() => undefined);
    if (stats === undefined || this.#closed) return;
    const entry = { inode: stats.ino, isDirectory: stats.isDirectory() };
    directory.entries.set(name, entry);
    if (options.tell) this.#events.event("create", path, entry.isDirectory);
    if (entry.isDirectory && this.#recursive) await this.#tryEnter(path, options);
  }

  /** A directory below the root that cannot be watched leaves the rest watched. */
  async #tryEnter(path: string, options: { tell: boolean }): Promise<void> {
    try {
      await this.#enter(path, options);
    } catch {
      const stillThere = await lstat(path).catch(() => undefined);
      if (stillThere !== undefined) this.#overflowOnce();
    }
  }

  #watch(path: string): FSWatcher {
    const watcher = watch(path, { encoding: "utf8" });
    watcher.on("change", (kind, name) => {
      if (path === this.#root) this.#note(path, false);
      if (typeof name === "string") this.#note(join(path, name), kind === "change");
    });
    watcher.on("error", () => this.#note(path, false));
    return watcher;
  }

  #note(path: string, written: boolean): void {
    if (this.#closed) return;
    this.#pending.set(path, written || this.#pending.get(path) === true);
    if (this.#pending.size > LIMITS.watchPendingPaths.value) {
      this.#pending.clear();
      this.#events.overflow();
      this.#pending.set(this.#root, false);
    }
    this.#timer ??= setTimeout(() => void this.#look(), SETTLE_MS);
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    // One look at a time, so that events come in the order of what happened.
    if (this.#looking) return;
    this.#looking = true;
    while (this.#pending.size > 0 && !this.#closed) {
      const pending = this.#pending;
      this.#pending = new Map();
      for (const [path, written] of pending) {
        if (path === this.#root) await this.#lookAtRoot();
        else await this.#lookAt(path, written);
      }
    }
    this.#looking = false;
  }

  async #lookAtRoot(): Promise<void> {
    const stats = await lstat(this.#root).catch(() => undefined);
    if (this.#closed || stats?.ino === this.#rootInode) return;
    this[Symbol.dispose]();
    this.#events.end();
  }

  async #lookAt(path: string, written: boolean): Promise<void> {
    const directory = this.#directories.get(dirname(path));
    if (directory === undefined) return;
    const name = path.slice(dirname(path).length).replace(/^\//, "");
    const known = directory.entries.get(name);
    const stats = await lstat(path).catch(() => undefined);
    if (this.#closed) return;
    if (stats === undefined) {
      if (known !== undefined) this.#lose(directory, path, name, known);
    } else if (known === undefined) {
      await this.#meet(directory, path, name, { tell: true });
    } else if (stats.ino !== known.inode) {
      await this.#replace(directory, path, name, known);
    } else if (written) {
      this.#events.event("modify", path, known.isDirectory);
    }
  }

  #lose(directory: WatchedDirectory, path: string, name: string, known: Entry): void {
    directory.entries.delete(name);
    if (known.isDirectory) this.#leave(path);
    this.#events.event("remove", path, known.isDirectory);
  }

  /** A file put in the place of another one is the same file with other content. */
  async #replace(
    directory: WatchedDirectory,
    path: string,
    name: string,
    known: Entry,
  ): Promise<void> {
    const stats = await lstat(path).catch(() => undefined);
    if (stats !== undefined && !stats.isDirectory() && !known.isDirectory) {
      directory.entries.set(name, { inode: stats.ino, isDirectory: false });
      this.#events.event("modify", path, false);
      return;
    }
    this.#lose(directory, path, name, known);
    if (stats !== undefined) await this.#meet(directory, path, name, { tell: true });
  }

  #leave(path: string): void {
    for (const [watched, { watcher }] of this.#directories) {
      if (watched !== path && !watched.startsWith(`${path}/`)) continue;
      watcher.close();
      this.#directories.delete(watched);
    }
  }

  #overflowOnce(): void {
    if (this.#isFull) return;
    this.#isFull = true;
    this.#events.overflow();
  }
}
