import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

export const ROOT = dirname(dirname(import.meta.dirname));

export interface TextFile {
  /** Relative to the repository. */
  path: string;
  text: string;
}

/** Where a rule was broken, and what to do instead, as one line. */
export type Violation = string;

const TEXT = /\.(ts|mts|js|mjs|json|md|sh|sql|yml|yaml|html)$|Dockerfile$|^\.ci\/run$/;

let files: readonly TextFile[] | undefined;

/** Every text file of the repository that git tracks or would track. */
export function repositoryFiles(): readonly TextFile[] {
  // Root may test what a person cloned, which git refuses to read unless told.
  const git = ["-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"];
  files ??= execFileSync("git", git, { cwd: ROOT, encoding: "utf8" })
    .split("\n")
    .filter((path) => TEXT.test(path) && path !== "package-lock.json")
    // A file that is deleted and not yet committed is still listed.
    .filter((path) => existsSync(join(ROOT, path)))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
  return files;
}

export const isCode = (path: string): boolean => /\.(ts|mts|js|mjs)$/.test(path);

export const isTest = (path: string): boolean =>
  path.endsWith(".test.ts") || /^(packages\/[^/]+\/test|tests)\//.test(path);

/** The code that ships: packages' sources without their tests. */
export const isShipped = (path: string): boolean =>
  /^packages\/[^/]+\/src\//.test(path) && isCode(path) && !isTest(path);

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split("\n").length;
}
