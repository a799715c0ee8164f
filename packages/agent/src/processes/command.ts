/** From a request's command fields to what is spawned, and from the kernel's refusal to an error. */
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { InsienError, LIMITS, type CommandFields } from "@insien/protocol";
import { ERRNO, type Libc } from "../native/libc.ts";
import type { Account } from "./accounts.ts";
import { asAccount } from "./credentials.ts";
import { isMissing } from "./spawn.ts";

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SHELL = "/bin/sh";

export interface Command {
  argv: readonly string[];
  env: Record<string, string>;
  cwd: string;
  account: Account;
}

/** What a command is read with: the defaults of the sandbox it runs in. */
export interface CommandDefaults {
  account: Account;
  /** The sandbox's own variables, bound to it when it was claimed. */
  env: Readonly<Record<string, string>>;
}

/** Throws `invalid_request` naming the field, or `file_not_found` for a working directory that is none. */
export function readCommand(fields: CommandFields, defaults: CommandDefaults): Command {
  const { account } = defaults;
  const argv = readArguments(fields);
  const given = { ...defaults.env, ...fields.env };
  const env: Record<string, string> = {
    PATH: DEFAULT_PATH,
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    LANG: "C.UTF-8",
    ...given,
  };
  // What was given alone: a sandbox's variables that fill the limit must not be too many for it.
  requireSmall("env", Object.entries(given).flat(), LIMITS.environmentBytes.value);
  for (const [name, value] of Object.entries(given)) {
    requireSmall(`env.${name}`, [`${name}=${value}`], LIMITS.commandLineBytes.value);
  }
  return { argv, env, cwd: readDirectory(fields.cwd, account), account };
}

function readArguments({ cmd, args, shell }: CommandFields): string[] {
  if ((cmd === undefined) === (shell === undefined)) {
    throw new InsienError("invalid_request", "give either cmd (with args) or shell", {
      details: { field: "cmd" },
    });
  }
  const argv = cmd === undefined ? [SHELL, "-c", shell ?? ""] : [cmd, ...(args ?? [])];
  for (const argument of argv) requireSmall("args", [argument], LIMITS.commandLineBytes.value);
  if (argv.some((argument) => argument.includes("\0"))) {
    throw new InsienError("invalid_request", "a command's arguments must not contain NUL", {
      details: { field: "args" },
    });
  }
  return argv;
}

function requireSmall(field: string, texts: readonly string[], limitBytes: number): void {
  // Each text ends with one more byte: `=` or NUL.
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0);
  if (bytes <= limitBytes) return;
  throw new InsienError(
    "invalid_request",
    `${field} takes ${bytes} bytes, ${limitBytes} are allowed`,
    {
      details: { field, limitBytes },
    },
  );
}

/** Relative directories start at the home; a home that the image lacks gives way to `/`. */
function readDirectory(cwd: string | undefined, account: Account): string {
  if (cwd === undefined) return isDirectory(account.home) ? account.home : "/";
  return resolve(account.home, cwd);
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** Files to try in turn: one where the command holds a slash, else each match along PATH. */
export function* candidates(libc: Libc, command: Command): Generator<string> {
  const name = command.argv[0] ?? "";
  if (name.includes("/")) {
    yield name;
    return;
  }
  for (const directory of (command.env["PATH"] ?? DEFAULT_PATH).split(":")) {
    const file = join(directory === "" ? "." : directory, name);
    const seen = file.startsWith("/") ? file : join(command.cwd, file);
    if (asAccount(libc, command.account, () => libc.executable(seen))) yield file;
  }
}

/** `undefined` errno: nothing along PATH was even tried. */
export function spawnError(command: Command, errno: number | undefined): InsienError {
  const name = command.argv[0] ?? "";
  const cwd = statSync(command.cwd, { throwIfNoEntry: false });
  if (cwd === undefined || !cwd.isDirectory()) {
    const state = cwd === undefined ? "does not exist" : "is not a directory";
    const code = cwd === undefined ? "file_not_found" : "not_a_directory";
    return new InsienError(code, `the working directory ${command.cwd} (cwd) ${state}`, {
      details: { field: "cwd", path: command.cwd },
    });
  }
  if (errno === undefined || isMissing(errno)) {
    const shell = name === SHELL ? "; this image has no shell, use cmd with args" : "";
    const message = `"${name}" was not found in the sandbox${shell}`;
    return new InsienError("command_not_found", message, { details: { command: name } });
  }
  if (errno === ERRNO.EACCES || errno === ERRNO.EPERM) {
    const message = `${command.account.name} may not run "${name}" in ${command.cwd}`;
    return new InsienError("permission_denied", message, { details: { command: name } });
  }
  if (errno === ERRNO.EAGAIN || errno === ERRNO.ENOMEM) {
    const message = `"${name}" could not start: the sandbox's process or memory limit is reached`;
    return new InsienError("limit_reached", message, { details: { errno } });
  }
  if (errno === ERRNO.E2BIG) {
    const message = `the arguments and variables of "${name}" are too long together`;
    return new InsienError("invalid_request", message);
  }
  return new InsienError("internal", `"${name}" could not start: error ${errno}`, {
    details: { errno },
  });
}
