import { InsienError, type ErrorCode } from "@insien/protocol";

const CODES: Record<string, [ErrorCode, (path: string) => string]> = {
  ENOENT: ["file_not_found", (path) => `there is no ${path}`],
  EISDIR: ["is_a_directory", (path) => `${path} is a directory`],
  ENOTDIR: ["not_a_directory", (path) => `a part of ${path} is not a directory`],
  EEXIST: ["file_exists", (path) => `${path} exists already`],
  ENOTEMPTY: ["directory_not_empty", (path) => `the directory ${path} is not empty`],
  ENOSPC: ["no_space", (path) => `no space is left for ${path}`],
  EDQUOT: ["no_space", (path) => `the disk quota leaves no space for ${path}`],
  EFBIG: ["no_space", (path) => `${path} would be larger than files may be here`],
  EACCES: ["permission_denied", (path) => `access to ${path} is denied`],
  EPERM: ["permission_denied", (path) => `${path} may not be changed this way`],
  EROFS: ["permission_denied", (path) => `${path} is on a read-only file system`],
  EBUSY: ["permission_denied", (path) => `${path} is a mount point or in use by the system`],
  ETXTBSY: ["permission_denied", (path) => `${path} is a program that is running`],
  ELOOP: ["too_many_links", (path) => `${path} leads through too many symbolic links`],
  ENAMETOOLONG: ["invalid_path", (path) => `${path.slice(0, 80)}… has a name that is too long`],
  ENXIO: ["not_a_file", (path) => `${path} is not a regular file`],
  ENODEV: ["not_a_file", (path) => `${path} is not a regular file`],
  EAGAIN: ["not_a_file", (path) => `${path} has nothing to read and would wait for it`],
  EINVAL: ["not_a_file", (path) => `${path} does not allow this`],
};

const systemCode = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;

export const hasCode = (error: unknown, ...codes: string[]): boolean =>
  codes.includes(systemCode(error) ?? "");

/** The error of the table for one of the system's, naming `path`; an `InsienError` stays itself. */
export function fileError(error: unknown, path: string): InsienError {
  if (error instanceof InsienError) return error;
  const known = CODES[systemCode(error) ?? ""];
  if (known !== undefined) return new InsienError(known[0], known[1](path), { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  return new InsienError("internal", `${path}: ${reason}`, { cause: error });
}

/** Runs `action` and turns what it throws into an error that names `path`. */
export async function namingPath<Value>(
  path: string,
  action: () => Promise<Value>,
): Promise<Value> {
  try {
    return await action();
  } catch (error) {
    throw fileError(error, path);
  }
}
