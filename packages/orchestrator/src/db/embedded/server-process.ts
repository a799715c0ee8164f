/**
 * The child process that is the embedded database: PGlite behind a unix socket. It lives exactly as
 * long as its parent does: the channel between them closes even when the parent is killed.
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { lockDirectory } from "../directory-lock.ts";
import { DurableFiles } from "./durable-files.ts";
import { WireDoor } from "./wire.ts";

export type ServerMessage =
  | { type: "listening" }
  /** The files were made; another process is to serve them. */
  | { type: "initialised" }
  | { type: "failed"; message: string };

const MINUTE_MS = 60_000;
const CHECKPOINT_MS = MINUTE_MS;
const VACUUM_MS = 60 * MINUTE_MS;

/** A hundredth of PGlite's default memory: the tables are small and the page cache is the kernel's. */
const SETTINGS = [
  "shared_buffers=4MB",
  "wal_buffers=1MB",
  "max_connections=4",
  "work_mem=2MB",
  "maintenance_work_mem=8MB",
  // The only way of syncing the write-ahead log that reaches `DurableFiles`.
  "wal_sync_method=fsync",
];

const [, , directory = ".", socketPath = "", lockWaitMs = "0"] = process.argv;

// From here on, a parent that is gone ends this process however far it got.
process.once("disconnect", () => process.exit(0));
// Ctrl-C reaches the whole process group; the parent decides when its database ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});

try {
  const lock = lockDirectory(directory, process.ppid, Number(lockWaitMs));
  const data = join(directory, "data");
  if (existsSync(data)) await serve(await openFiles(data), lock);
  else await initialise(data, lock);
} catch (error) {
  tell({ type: "failed", message: error instanceof Error ? error.message : String(error) });
  process.exitCode = 1;
  process.disconnect();
}

async function openFiles(dataDirectory: string): Promise<PGlite> {
  const parameters = PGlite.defaultStartParams.filter((parameter) => parameter !== "-F");
  return PGlite.create({
    fs: new DurableFiles(dataDirectory),
    startParams: [...parameters, ...SETTINGS.flatMap((setting) => ["-c", setting])],
  });
}

/**
 * Makes the database's files. Doing it takes 400 MB, which would stay with this process for good;
 * so it ends, and a new one serves them. Files that were not finished are not taken for a database.
 */
async function initialise(data: string, lock: Disposable): Promise<void> {
  const unfinished = `${data}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  const database = await openFiles(unfinished);
  await database.close();
  renameSync(unfinished, data);
  lock[Symbol.dispose]();
  tell({ type: "initialised" });
  process.disconnect();
}

async function serve(database: PGlite, lock: Disposable): Promise<void> {
  const door = new WireDoor(database);
  const server = createServer({ noDelay: true }, (socket) => door.accept(socket));
  // The lock is ours, so a socket that lies there belongs to nobody.
  rmSync(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(socketPath, resolve);
  });
  keepHouse(database, door);
  process.removeAllListeners("disconnect");
  // Holding the lock here keeps it from being collected, which would give it back.
  process.once("disconnect", () => void close(database, lock));
  tell({ type: "listening" });
}

/** PGlite has no background processes, so checkpoints and vacuums are asked for; an idle disk is let sleep. */
function keepHouse(database: PGlite, door: WireDoor): void {
  const every = (intervalMs: number, statement: string): void => {
    let batchesBefore = door.batches;
    setInterval(() => {
      if (door.batches === batchesBefore || database.isInTransaction()) return;
      batchesBefore = door.batches;
      database.exec(statement).catch((error: unknown) => {
        process.stderr.write(`${statement}: ${String(error)}\n`);
      });
    }, intervalMs).unref();
  };
  every(CHECKPOINT_MS, "checkpoint");
  every(VACUUM_MS, "vacuum (analyze)");
}

/** Every commit is on disk already: a clean end only spares the next start a recovery. */
async function close(database: PGlite, lock: Disposable): Promise<void> {
  try {
    await database.close();
    rmSync(socketPath, { force: true });
  } finally {
    lock[Symbol.dispose]();
    process.exit(0);
  }
}

function tell(message: ServerMessage): void {
  process.send?.(message);
}
