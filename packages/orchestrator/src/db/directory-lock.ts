/**
 * One process at a time has a directory: two that open the same embedded database silently lose each
 * other's rows, and two orchestrators on one data directory would be one node twice, each taking the
 * other's machines for its own.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Takes the lock, waiting up to `waitMs`; throws a sentence that names the holder when it stays taken. */
export function lockDirectory(directory: string, holderPid: number, waitMs: number): Disposable {
  // SQLite's exclusive lock is the kernel's lock on a file, which Node does not offer by itself. It
  // goes with its process, even a killed one, so that there is no stale lock to be judged.
  const lock = new DatabaseSync(join(directory, "lock"));
  const holderFile = join(directory, "holder");
  try {
    lock.exec(`pragma busy_timeout = ${waitMs}; begin exclusive`);
  } catch (error) {
    lock.close();
    if (!(error instanceof Error) || !/locked/.test(error.message)) throw error;
    throw new Error(
      `${directory} is in use by the Insien process ${readHolder(holderFile)}; ` +
        "stop that one first, or give this one another INSIEN_DATA_DIR",
      { cause: error },
    );
  }
  writeFileSync(holderFile, String(holderPid), { mode: 0o600 });
  return { [Symbol.dispose]: () => lock.close() };
}

function readHolder(file: string): string {
  try {
    return `with the pid ${readFileSync(file, "utf8").trim()}`;
  } catch {
    return "that has not yet said its pid";
  }
}
