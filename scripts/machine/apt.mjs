/** Debian packages: what is missing is installed, and nothing else is touched. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { say, SetupError } from "./speech.mjs";

/**
 * @typedef {object} DebianPackage
 * @property {string} name
 * @property {string} provides A program looked for in PATH, or an absolute path.
 * @property {string} purpose
 * @property {boolean} [required] Without it the caller cannot go on.
 */

const LOCK_WAIT_SECONDS = 120;
const ERROR_LINES_SHOWN = 4;

/** @param {string} program */
export function findProgram(program) {
  // Debian keeps servers' programs in sbin, which a person's PATH often lacks.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {DebianPackage} wanted */
const isPresent = ({ provides }) =>
  provides.startsWith("/") ? existsSync(provides) : findProgram(provides) !== undefined;

/** @param {string[]} args */
function aptGet(args) {
  const options = ["-q", "-y", "-o", `DPkg::Lock::Timeout=${LOCK_WAIT_SECONDS}`];
  return spawnSync("apt-get", [...options, ...args], {
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
}

/** @param {import("node:child_process").SpawnSyncReturns<string>} result */
function lastErrors(result) {
  const lines = `${result.stdout}\n${result.stderr}`
    .split("\n")
    .filter((line) => /^[EW]:/.test(line));
  return lines.slice(-ERROR_LINES_SHOWN).join("\n  ") || `apt-get exited with ${result.status}`;
}

/**
 * Installs those of the packages that are missing. Throws `SetupError` when a required one cannot be
 * had; a missing optional one is only told of.
 * @param {readonly DebianPackage[]} packages
 */
export function installMissing(packages) {
  const missing = packages.filter((wanted) => !isPresent(wanted));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  const command = `apt-get update && apt-get install -y ${names.join(" ")}`;
  if (findProgram("apt-get") === undefined) {
    return giveUp(
      missing,
      "This system has no apt-get; install them with its own package manager.",
    );
  }
  if (process.getuid?.() !== 0) {
    return giveUp(missing, `Only root may install packages. Run: sudo sh -c '${command}'`);
  }
  for (const { name, purpose } of missing) say(`· installing ${name} (${purpose})`);
  const install = ["install", "--no-install-recommends", ...names];
  let result = aptGet(install);
  if (result.status !== 0) {
    say("· refreshing the package lists (apt-get update)");
    const update = aptGet(["update"]);
    result = aptGet(install);
    if (result.status !== 0) {
      const cause = update.status === 0 ? result : update;
      giveUp(missing, `apt-get could not install them:\n  ${lastErrors(cause)}\nTry: ${command}`);
    }
  }
}

/**
 * @param {readonly DebianPackage[]} missing
 * @param {string} advice
 */
function giveUp(missing, advice) {
  const list = missing.map(({ name, purpose }) => `${name} (${purpose})`).join(", ");
  const sentence = `missing on this machine: ${list}. ${advice}`;
  if (missing.some(({ required }) => required)) throw new SetupError(sentence);
  say(`note: ${sentence}`);
}
