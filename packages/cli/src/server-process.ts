/**
 * Whether a process is the server that a file says it is. The file may be old, and its number another
 * process's by now, or it may lie in a directory that somebody else made.
 */
import { readFile, readlink } from "node:fs/promises";
import { resolve } from "node:path";

export interface ServerProcess {
  pid: number;
  url: string;
}

const PROGRAM = /\/orchestrator\/src\/main\.ts$/;

/** What the text of a `server.json` says, if that process lives and is a server of Insien's. */
export async function serverProcess(text: string): Promise<ServerProcess | undefined> {
  const { pid, url, processStart } = parsed(text);
  if (!Number.isSafeInteger(pid) || Number(pid) <= 0 || typeof url !== "string") return undefined;
  const server = { pid: Number(pid), url };
  if (!(await runsServer(server.pid))) return undefined;
  const isSame = processStart === undefined || processStart === (await startOf(server.pid));
  return isSame ? server : undefined;
}

function parsed(text: string): { pid?: unknown; url?: unknown; processStart?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

async function runsServer(pid: number): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  // Nobody else may ask where another user's process is; then its whole path must be in the line.
  const directory = await readlink(`/proc/${pid}/cwd`).catch(() => "/");
  return line.split("\0").some((word) => word !== "" && PROGRAM.test(resolve(directory, word)));
}

/** As the server writes it of itself: which boot of the machine, and how long after it. */
async function startOf(pid: number): Promise<string | undefined> {
  const [boot, stat] = await Promise.all([
    readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => ""),
    readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""),
  ]);
  // The program's name, in brackets, may hold anything; the 22nd field is the 20th after it.
  const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return ticks === undefined ? undefined : `${boot.trim()}/${ticks}`;
}
