import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { newId } from "@insien/protocol";
import pg from "pg";
import { waitFor } from "./wait-for.ts";

const DEBIAN_VERSIONS = "/usr/lib/postgresql";
const run = promisify(execFile);

/** A user that PostgreSQL agrees to run as: it refuses root. */
interface Account {
  uid: number;
  gid: number;
}

/** A private PostgreSQL server on a unix socket in a temporary directory. */
export class TestPostgres implements AsyncDisposable {
  readonly #binaries: string;
  readonly #directory: string;
  readonly #account: Account | undefined;
  #child: ChildProcess | undefined;

  constructor(binaries: string, directory: string, account: Account | undefined) {
    this.#binaries = binaries;
    this.#directory = directory;
    this.#account = account;
  }

  /** Of the database that every server has. */
  get url(): string {
    return this.#url("postgres");
  }

  /** A fresh, empty database; its URL. */
  async createDatabase(): Promise<string> {
    return createDatabaseAt(this.url);
  }

  /** Ends the server at once, as a crash does, and starts it again after a while. */
  async crash(options: { downMs: number }): Promise<void> {
    await this.#stop("SIGQUIT");
    await new Promise((resolve) => setTimeout(resolve, options.downMs));
    await this.start();
  }

  /** Called once by `startPostgres`. */
  async initialise(): Promise<void> {
    const options = [
      "-U",
      "postgres",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--locale=C.UTF-8",
      "--no-sync",
    ];
    await run(join(this.#binaries, "initdb"), ["-D", this.#data, ...options], { ...this.#account });
  }

  async start(): Promise<void> {
    const settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=300"];
    this.#child = spawn(
      "setpriv",
      [
        // It ends with the process that runs the tests, even when that one is killed.
        "--pdeathsig=INT",
        ...(this.#account === undefined
          ? []
          : [`--reuid=${this.#account.uid}`, `--regid=${this.#account.gid}`, "--clear-groups"]),
        join(this.#binaries, "postgres"),
        ...["-D", this.#data, "-k", this.#directory, ...settings],
      ],
      { stdio: "ignore", cwd: "/" },
    );
    await waitFor(() => this.#answers(), { describe: "PostgreSQL to answer" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop("SIGINT");
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #answers(): Promise<boolean> {
    await withClient(this.#url("postgres"), (client) => client.query("select 1"));
    return true;
  }

  async #stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  #url(database: string): string {
    return `postgresql:///${database}?user=postgres&host=${encodeURIComponent(this.#directory)}`;
  }
}

/** The directory of PostgreSQL's server programs, the newest there is; `undefined` without any. */
export async function findPostgres(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN_VERSIONS).catch(() => []);
  const newest = versions.map(Number).sort((one, other) => other - one)[0];
  return newest === undefined ? undefined : join(DEBIAN_VERSIONS, String(newest), "bin");
}

/** Starts a server; `binaries` is what `findPostgres` gave. */
export async function startPostgres(binaries: string): Promise<TestPostgres> {
  const directory = await mkdtemp(join(tmpdir(), "insien-postgres-"));
  const account = process.getuid?.() === 0 ? await unprivilegedAccount() : undefined;
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  const server = new TestPostgres(binaries, directory, account);
  await server.initialise();
  await server.start();
  return server;
}

async function unprivilegedAccount(): Promise<Account> {
  const users = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const user =
    users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody");
  if (user === undefined)
    throw new Error("there is no user postgres or nobody to run PostgreSQL as");
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/** Makes an empty database on the server that `url` names, and gives its URL. */
export async function createDatabaseAt(url: string): Promise<string> {
  const name = `test_${newId()}`;
  await withClient(url, (client) => client.query(`create database ${name}`));
  const created = new URL(url);
  created.pathname = `/${name}`;
  return created.href;
}

async function withClient<Value>(
  url: string,
  work: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
