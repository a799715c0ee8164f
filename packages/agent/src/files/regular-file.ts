import {
  closeSync,
  constants,
  fstatSync,
  open as openByNumber,
  readlinkSync,
  type BigIntStats,
} from "node:fs";
import { open, readdir, stat, type FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { InsienError, LIMITS, MACHINE_PATHS } from "@insien/protocol";
import { namingPath } from "./file-error.ts";

export interface OpenedFile {
  handle: FileHandle;
  stats: BigIntStats;
}

/** Pipes and devices are not waited for. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const openDescriptor = promisify(openByNumber);

const isWithin = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(`${directory}/`);

const identity = (stats: BigIntStats): string => `${stats.dev}:${stats.ino}`;

let secretIdentities: Promise<ReadonlySet<string>> | undefined;

/** The files of the line, known by device and inode since other mounts may show them elsewhere. */
async function readSecretIdentities(): Promise<ReadonlySet<string>> {
  const names = await readdir(MACHINE_PATHS.line).catch(() => []);
  const paths = names.map((name) => `${MACHINE_PATHS.line}/${name}`);
  const stats = await Promise.all(
    paths.map((path) => stat(path, { bigint: true }).catch(() => undefined)),
  );
  return new Set(stats.filter((found) => found !== undefined).map(identity));
}

/**
 * The agent may read what the sandbox's commands may not: its own token and environment. The check
 * is made on the file that was opened, so that no link exchanged in between can get round it.
 */
async function refuseAgentsOwn(fd: number, stats: BigIntStats, path: string): Promise<void> {
  secretIdentities ??= readSecretIdentities();
  const realPath = openedPath(fd) ?? path;
  const isSecret =
    isWithin(realPath, MACHINE_PATHS.line) ||
    isWithin(realPath, `/proc/${process.pid}`) ||
    (await secretIdentities).has(identity(stats));
  if (isSecret) throw new InsienError("permission_denied", `${path} belongs to the agent itself`);
}

/** The kernel knows this by heart: a way through the thread pool would cost ten times the call. */
function openedPath(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

/** Opening has just fetched what this tells, so nothing is waited for. */
async function examine(fd: number, path: string): Promise<BigIntStats> {
  const stats = fstatSync(fd, { bigint: true });
  if (stats.isDirectory()) throw new InsienError("is_a_directory", `${path} is a directory`);
  if (!stats.isFile()) throw new InsienError("not_a_file", `${path} is not a regular file`);
  await refuseAgentsOwn(fd, stats, path);
  return stats;
}

/**
 * Opens a regular file for reading. Pipes and devices are refused rather than waited for: opening
 * without blocking and asking the descriptor what it is leaves no moment to exchange the file in.
 * Names need not be text, so a path may be bytes.
 * Throws `file_not_found`, `is_a_directory`, `not_a_file`, `permission_denied` ...
 */
export async function openRegularFile(
  place: string | Buffer,
  options: { followSymlinks?: boolean; shownPath?: string } = {},
): Promise<OpenedFile> {
  const path = options.shownPath ?? place.toString();
  return namingPath(path, async () => {
    const link = options.followSymlinks === false ? constants.O_NOFOLLOW : 0;
    const handle = await open(place, FLAGS | link);
    try {
      return { handle, stats: await examine(handle.fd, path) };
    } catch (error) {
      await handle.close();
      throw error;
    }
  });
}

/**
 * Hands a regular file to `read` by its number, for many small ones: a handle of Node's, closed through
 * the thread pool, costs more than what is read. Links are not followed. Throws as `openRegularFile`.
 */
export async function withDescriptor<Value>(
  place: Buffer,
  read: (fd: number) => Promise<Value>,
): Promise<Value> {
  const path = place.toString();
  return namingPath(path, async () => {
    const fd = await openDescriptor(place, FLAGS | constants.O_NOFOLLOW);
    try {
      await examine(fd, path);
      return await read(fd);
    } finally {
      closeSync(fd);
    }
  });
}

/**
 * The whole content, at most `fileInlineBytes`; past that `payload_too_large`. Files of /proc and
 * /sys say they are empty, so the end is where reading finds it, not where the size puts it.
 */
export async function readWholeFile({ handle, stats }: OpenedFile, path: string): Promise<Buffer> {
  const limit = LIMITS.fileInlineBytes.value;
  if (stats.size > limit) throw tooLarge(path, `${stats.size} bytes`);
  let content = Buffer.allocUnsafe(Math.max(Number(stats.size) + 1, 64 * 1024));
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(content, length, content.length - length, null);
    if (bytesRead === 0) return content.subarray(0, length);
    length += bytesRead;
    if (length > limit) throw tooLarge(path, `more than ${limit} bytes`);
    if (length === content.length) content = Buffer.concat([content], content.length * 2);
  }
}

const tooLarge = (path: string, size: string): InsienError =>
  new InsienError("payload_too_large", `${path} has ${size}; read it as a download`, {
    details: { limitBytes: LIMITS.fileInlineBytes.value },
  });
