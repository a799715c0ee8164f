import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import {
  createTestDatabase,
  type DatabaseKind,
  defaultDatabase,
  type TestDatabase,
} from "./test-database.ts";
import { waitFor } from "./wait-for.ts";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
/** As start.sh starts it: a small young generation halves the server's memory. */
const COMMAND = [
  "--conditions=source",
  "--max-semi-space-size=4",
  "packages/orchestrator/src/main.ts",
];
const READY_MS = 120_000;
const STOP_MS = 60_000;

export interface ServerOptions {
  runtime?: "docker" | "bubblewrap";
  poolSize?: number;
  /** Kept when given; otherwise a temporary one, removed at the end. */
  dataDirectory?: string;
  /** Of the run, by default. On PostgreSQL it gets a database of its own. */
  database?: DatabaseKind;
  /** A PostgreSQL that the test has made, and keeps. */
  databaseUrl?: string;
  env?: Record<string, string>;
}

/** A real orchestrator in a process of its own, on free ports. */
export class TestServer implements AsyncDisposable {
  readonly dataDirectory: string;
  readonly #options: ServerOptions;
  readonly #database: TestDatabase | undefined;
  #child: ChildProcess | undefined;
  #output = "";
  #ports: { url: string; webSocketUrl: string } | undefined;
  apiKey = "";

  constructor(dataDirectory: string, options: ServerOptions, database?: TestDatabase) {
    this.dataDirectory = dataDirectory;
    this.#options = options;
    this.#database = database;
  }

  /** Of its PostgreSQL; `undefined` on the embedded database. */
  get databaseUrl(): string | undefined {
    return this.#options.databaseUrl ?? this.#database?.url;
  }

  get url(): string {
    if (this.#ports === undefined) throw new Error("the server is not running");
    return this.#ports.url;
  }

  get webSocketUrl(): string {
    if (this.#ports === undefined) throw new Error("the server is not running");
    return this.#ports.webSocketUrl;
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error("the server is not running");
    return pid;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** Headers of a request by the server's own key. */
  get headers(): Record<string, string> {
    return { "x-api-key": this.apiKey };
  }

  async start(): Promise<void> {
    const { port, webSocketPort } = portsOf(this.#ports);
    const child = spawn(process.execPath, COMMAND, {
      cwd: REPOSITORY,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        NODE_COMPILE_CACHE: join(tmpdir(), "insien-compile-cache"),
        INSIEN_DATA_DIR: this.dataDirectory,
        INSIEN_POOL_SIZE: String(this.#options.poolSize ?? 0),
        INSIEN_ON_STOP: "destroy",
        // A restarted server is found where its clients knew it.
        PORT: port,
        WS_PORT: webSocketPort,
        ...(this.#options.runtime === undefined ? {} : { INSIEN_RUNTIME: this.#options.runtime }),
        ...(this.databaseUrl === undefined ? {} : { DATABASE_URL: this.databaseUrl }),
        ...this.#options.env,
      },
    });
    this.#child = child;
    const collect = (chunk: Buffer) => {
      this.#output = (this.#output + String(chunk)).slice(-200_000);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    const ready = waitFor(() => this.#isReady(child), {
      timeoutMs: READY_MS,
      describe: "the server to be ready",
    });
    ready.catch(() => undefined);
    const ended = once(child, "exit").then(([code, signal]) => {
      throw new Error(`the server ended early (${String(signal ?? code)})`);
    });
    ended.catch(() => undefined);
    await Promise.race([ready, ended]).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- its output:\n${this.#output}`);
    });
  }

  /** SIGKILL by default, as a crash; SIGTERM for an orderly stop. Resolves when the process is gone. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await exited;
    clearTimeout(timer);
  }

  async restart(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.kill(signal);
    await this.start();
  }

  /** Stops it, its sandboxes included, and removes its data. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    // A server that was killed leaves its machines to the next one, which then takes them along.
    if (child === undefined || child.signalCode !== null) await this.start().catch(() => undefined);
    await this.kill("SIGTERM");
    await this.#database?.[Symbol.asyncDispose]();
    if (this.#options.dataDirectory === undefined)
      await rm(this.dataDirectory, { recursive: true, force: true });
  }

  async #isReady(child: ChildProcess): Promise<boolean> {
    const text = await readFile(join(this.dataDirectory, "server.json"), "utf8").catch(() => "{}");
    const server = JSON.parse(text) as { pid?: number; url?: string; webSocketUrl?: string };
    if (server.pid !== child.pid || server.url === undefined || server.webSocketUrl === undefined)
      return false;
    this.#ports = { url: server.url, webSocketUrl: server.webSocketUrl };
    this.apiKey =
      this.#options.env?.["API_KEY"] ??
      (await readFile(join(this.dataDirectory, "api-key"), "utf8")).trim();
    return true;
  }
}

function portsOf(ports: { url: string; webSocketUrl: string } | undefined): {
  port: string;
  webSocketPort: string;
} {
  if (ports === undefined) return { port: "0", webSocketPort: "0" };
  return { port: new URL(ports.url).port, webSocketPort: new URL(ports.webSocketUrl).port };
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), "insien-")));
  const { databaseUrl, database: kind = defaultDatabase } = options;
  const database =
    databaseUrl === undefined && kind === "postgresql" ? await createTestDatabase() : undefined;
  const server = new TestServer(dataDirectory, options, database);
  await server.start();
  return server;
}
