/** The npm packages of the lock file: installed when what is there differs from it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "./apt.mjs";
import { say, SetupError } from "./speech.mjs";

const ERROR_LINES_SHOWN = 6;

/** @typedef {{ version?: string, integrity?: string, optional?: boolean }} LockedPackage */

/**
 * @param {string} path
 * @returns {Record<string, LockedPackage> | undefined}
 */
function readLock(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    return undefined;
  }
}

/**
 * npm writes down what it installed in node_modules/.package-lock.json, as its last step: so an
 * interrupted install counts as none.
 * @param {string} root
 */
export function npmPackagesAreCurrent(root) {
  const wanted = readLock(join(root, "package-lock.json"));
  const present = readLock(join(root, "node_modules/.package-lock.json"));
  if (wanted === undefined || present === undefined) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith("node_modules/") && !path.includes("/node_modules/")) return true;
    const found = present[path];
    // Optional packages for other processors are in the lock file and not on this machine.
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

/**
 * Throws `SetupError` when npm is missing or fails.
 * @param {string} root
 */
export function installNpmPackages(root) {
  if (npmPackagesAreCurrent(root)) return;
  if (findProgram("npm") === undefined) {
    throw new SetupError(
      "npm is missing. Install it (Debian: apt-get install -y npm) and try again.",
    );
  }
  say("· installing npm packages (npm ci)");
  const result = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    encoding: "utf8",
  });
  if (result.status === 0) return;
  // npm says what happened first, and advice and the place of its log last.
  const lines = result.stderr
    .split("\n")
    .filter((line) => /^npm error +(?!at )\S/.test(line))
    .slice(0, ERROR_LINES_SHOWN);
  const offline = /EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED|ENETUNREACH/.test(result.stderr);
  const cause = offline
    ? "the npm registry cannot be reached; the first start needs it, later ones do not"
    : "npm ci failed";
  throw new SetupError(`${cause}:\n  ${lines.join("\n  ")}`);
}
