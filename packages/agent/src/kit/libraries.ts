/** Which shared libraries a program is run with on this host. */
import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";

export interface Libraries {
  /** The dynamic loader's path. */
  loader: string;
  libraries: readonly string[];
}

/**
 * Asks `ldd` about the files. Throws when a library is missing, or when the program is linked
 * against another C library than the GNU one, whose loader alone takes `--library-path` with it.
 */
export async function librariesOf(files: readonly string[]): Promise<Libraries> {
  const { stdout } = await promisify(execFile)("ldd", [...files], { env: { LC_ALL: "C" } });
  const libraries = new Map<string, string>();
  let loader: string | undefined;
  for (const line of stdout.split("\n")) {
    const [, name, , path = name] = /^\s+(\S+)(\s=>\s(\S+|not found))?\s*/.exec(line) ?? [];
    if (name === undefined || path === undefined || !path.startsWith("/")) {
      if (path === "not found") throw new Error(`the agent's kit needs ${name}, which is missing`);
      continue;
    }
    if (/\/ld-linux[^/]*$/.test(path)) loader = path;
    else libraries.set(basename(path), path);
  }
  if (loader === undefined) {
    throw new Error("the agent's kit needs a Node.js that is linked against the GNU C library");
  }
  return { loader, libraries: [...libraries.values()] };
}
