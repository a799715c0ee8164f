/** What stands in an archive. Names are bytes, as the kernel has them, and end with `/` for directories. */
export interface ArchiveEntry {
  name: Buffer;
  type: "file" | "directory" | "symlink";
  /** Permission bits, the set-id ones included. */
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds since 1970. */
  modified: number;
  /** A link's target, or a file's content where it is small. */
  content: Buffer;
  /** A large file: where it is, and how much of it is taken. */
  large?: { path: Buffer; size: number };
}

/** Takes entries in the order in which they shall stand. */
export interface ArchiveWriter {
  add(entry: ArchiveEntry): Promise<void>;
  end(): Promise<void>;
}
