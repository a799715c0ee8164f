/** Finding and running the host's small programs. */
import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";

// Services often start with a PATH that lacks the administrator's directories.
const DIRECTORIES = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The environment of every program run here: nothing of the orchestrator's own passes on. */
export const PLAIN_ENVIRONMENT = { PATH: DIRECTORIES.join(":"), LC_ALL: "C" };

/** The absolute path of a program, or `undefined`. The orchestrator's own PATH comes first. */
export async function findProgram(name: string): Promise<string | undefined> {
  const own = (process.env["PATH"] ?? "").split(":").filter((directory) => directory !== "");
  for (const directory of [...own, ...DIRECTORIES]) {
    const path = join(directory, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}

interface Run {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Its failing is an answer, not an exception. */
export function run(argv: readonly string[], options: { input?: string } = {}): Promise<Run> {
  const [program = "", ...parameters] = argv;
  const { promise, resolve } = Promise.withResolvers<Run>();
  const child = spawn(program, parameters, { env: PLAIN_ENVIRONMENT, cwd: "/" });
  const collected = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (collected.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (collected.stderr += chunk.toString()));
  child.on("error", (error) => resolve({ exitCode: 127, stdout: "", stderr: error.message }));
  child.on("close", (code) => resolve({ exitCode: code ?? 128, ...collected }));
  // A program that ended before it read everything says so by its exit code.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input);
  return promise;
}
