import type { Stats } from "node:fs";
import { lstat, readlink, stat } from "node:fs/promises";
import { basename } from "node:path";
import type { FileInfo } from "@insien/protocol";

function fileType(stats: Stats): FileInfo["type"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}

/** Describes what is at an absolute path: a symbolic link itself unless `followSymlinks`. */
export async function fileInfo(
  path: string,
  options: { followSymlinks?: boolean | undefined } = {},
): Promise<FileInfo> {
  const stats = await (options.followSymlinks === true ? stat(path) : lstat(path));
  const type = fileType(stats);
  const target = type === "symlink" ? await readlink(path) : undefined;
  return {
    path,
    name: basename(path),
    type,
    size: stats.size,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    modifiedAt: stats.mtime.toISOString(),
    ...(target === undefined ? {} : { target }),
  };
}
