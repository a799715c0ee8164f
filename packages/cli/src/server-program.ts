/** The server's program as a child of this one: in the foreground, or left to itself. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type ServerProcess, serverProcess } from "./server-process.ts";
import { UsageError } from "./usage-error.ts";

/** Beside this package in a checkout, whether this file is a source or bundled. */
const PROGRAMS = ["../../orchestrator/src/main.ts", "../../../orchestrator/src/main.ts"];
const READY_MS = 180_000;
const STOP_MS = 60_000;
const LOOK_MS = 100;
/** A small young generation halves the server's memory. */
const NODE_OPTIONS = ["--conditions=source", "--max-semi-space-size=4"];

export interface RunningServer {
  pid: number;
  url: string;
  log: string;
}

function programPath(): string {
  const found = PROGRAMS.map((path) => resolve(import.meta.dirname, path)).find((path) =>
    existsSync(path),
  );
  if (found !== undefined) return found;
  throw new UsageError(
    "The server's program is not beside this one.",
    "Run `./insien` in a checkout of Insien; other commands work from anywhere.",
  );
}

/** Runs to its end, on this terminal; gives its exit code. Signals reach it, and it decides. */
export async function runServerProgram(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [...NODE_OPTIONS, programPath(), ...args], {
    stdio: "inherit",
  });
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  // Control-C reaches the whole group; whatever is sent to this process alone is passed on.
  for (const name of names) process.on(name, () => name === "SIGINT" || child.kill(name));
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("exit", (code, signal) => done(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

/** Starts the server for good and returns once it answers. */
export async function startDetached(directory: string): Promise<RunningServer> {
  const log = join(directory, "server.log");
  const running = await runningServer(directory);
  if (running !== undefined) {
    throw new UsageError(
      `A server runs from ${directory} already, at ${running.url} (process ${running.pid}).`,
      "Stop it with `insien down` first.",
    );
  }
  await mkdir(directory, { recursive: true });
  await using file = await open(log, "a", 0o600);
  const { size: before } = await file.stat();
  const child = spawn(process.execPath, [...NODE_OPTIONS, programPath(), "serve"], {
    stdio: ["ignore", file.fd, file.fd],
    detached: true,
  });
  const server = await waitUntilReady(child, directory, { path: log, before });
  child.unref();
  return { ...server, log };
}

/** `false` when none ran. */
export async function stopServer(directory: string): Promise<boolean> {
  const server = await runningServer(directory);
  if (server === undefined) return false;
  process.kill(server.pid, "SIGTERM");
  const deadline = performance.now() + STOP_MS;
  while (isAlive(server.pid)) {
    if (performance.now() > deadline) {
      throw new Error(
        `The server (process ${server.pid}) has not ended within ${STOP_MS / 1000} s.`,
      );
    }
    await pause(LOOK_MS);
  }
  return true;
}

async function waitUntilReady(
  child: ChildProcess,
  directory: string,
  log: { path: string; before: number },
): Promise<{ pid: number; url: string }> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`The server could not start:\n${await lastLines(log)}`);
    }
    const server = await runningServer(directory);
    if (server !== undefined && server.pid === child.pid) return server;
    if (performance.now() > deadline) {
      child.kill();
      throw new Error(`The server was not ready after ${READY_MS / 1000} s; see ${log.path}.`);
    }
    await pause(LOOK_MS);
  }
}

/** What the server wrote of itself when it was ready, as long as it lives. */
async function runningServer(directory: string): Promise<ServerProcess | undefined> {
  const text = await readFile(join(directory, "server.json"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : serverProcess(text);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

const LAST_LINES = 12;
/** Of this start: what earlier ones said is in the file before it. */
const lastLines = async ({ path, before }: { path: string; before: number }): Promise<string> =>
  (await readFile(path))
    .subarray(before)
    .toString()
    .trimEnd()
    .split("\n")
    .slice(-LAST_LINES)
    .join("\n");

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
