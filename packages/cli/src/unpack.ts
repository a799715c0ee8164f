import { lstat, mkdir, realpath, symlink } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize, relative } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as tar from "tar";

const PERMISSIONS = 0o777;

interface Link {
  path: string;
  target: string;
}

/**
 * Unpacks a tar into a directory. Whoever made it is not trusted: no entry is written outside, nor
 * through a link. Links that lead out are made last, when nothing can be written through them any
 * more; a folder of a sandbox is full of them, such as a virtual environment's python.
 */
export async function unpack(source: AsyncIterable<Uint8Array>, directory: string): Promise<void> {
  const outward: Link[] = [];
  const extract = tar.extract({
    cwd: directory,
    strict: true,
    preserveOwner: false,
    filter: (path, entry) => {
      if (!("type" in entry)) return true;
      // Whoever unpacks may be root: nothing of a sandbox's is to run as who owns it.
      if (entry.mode !== undefined) entry.mode &= PERMISSIONS;
      // Our archives have none, and one could be to a file that is not of the copy.
      if (entry.type === "Link") return false;
      if (entry.type !== "SymbolicLink") return true;
      const target = entry.linkpath ?? "";
      if (!leadsOut(path, target)) return true;
      outward.push({ path, target });
      return false;
    },
  });
  await pipeline(Readable.from(source), extract);
  const root = await realpath(directory);
  for (const link of outward) await makeLink(root, link);
}

function leadsOut(path: string, target: string): boolean {
  return isAbsolute(target) || normalize(join(dirname(path), target)).startsWith("..");
}

async function makeLink(root: string, { path, target }: Link): Promise<void> {
  const place = join(root, path);
  if (relative(root, place).startsWith("..")) throw new Error(`${path} leaves the folder`);
  await mkdir(dirname(place), { recursive: true });
  const parent = await realpath(dirname(place));
  if (relative(root, parent).startsWith(".."))
    throw new Error(`${path} leaves the folder by a link`);
  // What was there before this copy stays: only a link may take the place of a link.
  const before = await lstat(place).catch(() => undefined);
  if (before === undefined) await symlink(target, place);
}
