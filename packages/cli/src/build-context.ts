import type { Dirent } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import dockerignore from "@balena/dockerignore";
import { LIMITS } from "@insien/protocol";
import { UsageError } from "./usage-error.ts";

export type BuildContext = Record<string, string | { base64: string }>;

const IGNORE_FILE = ".dockerignore";
/** Without these there is nothing to build, whatever is to stay out. */
const ALWAYS = new Set(["Dockerfile", IGNORE_FILE]);

/**
 * The files below a directory as a build takes them: not what its `.dockerignore` names, and no
 * directories of version control.
 */
export async function readBuildContext(directory: string): Promise<BuildContext> {
  const root = resolve(directory);
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => {
    throw new UsageError(`${directory} is no directory that can be read.`);
  });
  const isIgnored = await readIgnored(root);
  const files: BuildContext = {};
  let total = 0;
  for (const entry of entries) {
    const name = nameOf(root, entry);
    if (!entry.isFile() || /(?:^|\/)\.git\//.test(name)) continue;
    if (isIgnored(name) && !ALWAYS.has(name)) continue;
    const bytes = await readFile(join(root, name));
    total += bytes.byteLength;
    if (total > LIMITS.buildContextBytes.value) {
      throw new UsageError(
        `${directory} holds more than ${LIMITS.buildContextBytes.value / 1024 ** 2} MiB, too much for a build.`,
        `Name what it does not need, such as node_modules, in ${directory}/${IGNORE_FILE}. ` +
          "Fetch large files in the Dockerfile, or copy them into the sandbox afterwards.",
      );
    }
    const text = bytes.toString("utf8");
    files[name] = Buffer.from(text).equals(bytes) ? text : { base64: bytes.toString("base64") };
  }
  if (files["Dockerfile"] === undefined)
    throw new UsageError(
      `There is no Dockerfile in ${directory}.`,
      "Name the directory that has it: insien create --build ./app",
    );
  return files;
}

const nameOf = (root: string, { parentPath, name }: Dirent): string =>
  relative(root, join(parentPath, name)).split(sep).join("/");

/** Docker reads such files in a way of its own, which is not git's. */
async function readIgnored(root: string): Promise<(name: string) => boolean> {
  const text = await readFile(join(root, IGNORE_FILE), "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  });
  // Docker takes names of either case apart.
  const rules = dockerignore.default({ ignorecase: false }).add(text);
  return (name) => rules.ignores(name);
}
