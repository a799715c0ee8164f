import { fork, type ChildProcess } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InsienError, LIMITS } from "@insien/protocol";
import type { ServerMessage } from "./server-process.ts";

const SERVER_PROCESS = fileURLToPath(new URL("./server-process.ts", import.meta.url));
const SOCKET_NAME = ".s.PGSQL.5432";
/** The kernel's bound on a unix socket's path, less its closing NUL. */
const SOCKET_PATH_BYTES = 107;
const FIRST_RESTART_PAUSE_MS = 50;
const LONGEST_RESTART_PAUSE_MS = 5_000;

/**
 * Baseline code only: optimising PGlite's nine megabytes of WebAssembly takes 60 MB and makes our
 * statements no faster. Together these halve the process's memory.
 */
const NODE_FLAGS = [
  "--liftoff-only",
  "--wasm-lazy-compilation",
  "--max-semi-space-size=1",
  "--max-old-space-size=128",
  "--disable-warning=ExperimentalWarning",
];

/** Keeps the embedded database's process running, and starts another when it ends unasked. */
export class EmbeddedServer implements AsyncDisposable {
  readonly socketDirectory: string;
  readonly #directory: string;
  readonly #ownsSocketDirectory: boolean;
  #child: ChildProcess | undefined;
  #listening: Promise<void> = Promise.resolve();
  #closing = false;

  private constructor(directory: string, socketDirectory: string) {
    this.#directory = directory;
    this.socketDirectory = socketDirectory;
    this.#ownsSocketDirectory = socketDirectory !== directory;
  }

  /** `directory` exists and is private. Throws `conflict` when another process holds it. */
  static async start(directory: string): Promise<EmbeddedServer> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
    const server = new EmbeddedServer(directory, await socketDirectoryFor(directory));
    try {
      server.#listening = server.#spawn();
      await server.#listening;
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the database takes connections: at once, unless it is being restarted. */
  ready(): Promise<void> {
    return this.#listening;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = new Promise((resolve) => child.once("exit", resolve));
      const deadline = setTimeout(() => child.kill("SIGKILL"), LIMITS.databaseLockMs.value);
      if (child.connected) child.disconnect();
      await exited;
      clearTimeout(deadline);
    }
    if (this.#ownsSocketDirectory) await rm(this.socketDirectory, { recursive: true, force: true });
  }

  /** Resolves once the new child listens; from then on its end starts the next one. */
  #spawn(): Promise<void> {
    const socketPath = join(this.socketDirectory, SOCKET_NAME);
    const child = fork(
      SERVER_PROCESS,
      [this.#directory, socketPath, String(LIMITS.databaseLockMs.value)],
      {
        execArgv: NODE_FLAGS,
        env: {},
        stdio: ["ignore", "ignore", "pipe", "ipc"],
      },
    );
    this.#child = child;
    return new Promise((resolve, reject) => {
      let reached: ServerMessage["type"] | undefined;
      let complaint = "";
      const deadline = setTimeout(() => child.kill("SIGKILL"), LIMITS.databaseOpenMs.value);
      child.stderr?.on("data", (text) => (complaint = `${complaint}${String(text)}`.slice(-2000)));
      child.on("message", (message: ServerMessage) => {
        reached = message.type;
        if (message.type === "failed") complaint = message.message;
        if (message.type !== "listening") return;
        clearTimeout(deadline);
        resolve();
      });
      child.once("error", (error) => (complaint = error.message));
      child.once("close", (code, signal) => {
        clearTimeout(deadline);
        if (reached === "listening") this.#restart();
        else if (reached === "initialised") resolve(this.#spawn());
        else
          reject(openingFailed(complaint || `its process ended with ${signal ?? `code ${code}`}`));
      });
    });
  }

  #restart(): void {
    if (this.#closing) return;
    this.#listening = this.#spawnUntilItStays();
    // Its users await the same promise; nobody may be asking at this moment.
    this.#listening.catch(() => {});
  }

  async #spawnUntilItStays(): Promise<void> {
    let pauseMs = FIRST_RESTART_PAUSE_MS;
    while (!this.#closing) {
      try {
        return await this.#spawn();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        pauseMs = Math.min(pauseMs * 2, LONGEST_RESTART_PAUSE_MS);
      }
    }
  }
}

function openingFailed(complaint: string): InsienError {
  const code = complaint.includes("is in use by") ? "conflict" : "database_unavailable";
  return new InsienError(
    code,
    code === "conflict" ? complaint : `the embedded database did not start: ${complaint}`,
  );
}

/** The database's own directory, unless its path is too long for a socket. */
async function socketDirectoryFor(directory: string): Promise<string> {
  if (Buffer.byteLength(join(directory, SOCKET_NAME)) <= SOCKET_PATH_BYTES) return directory;
  return mkdtemp(join(tmpdir(), "insien-database-"));
}
