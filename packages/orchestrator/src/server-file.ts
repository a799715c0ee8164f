import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface ServerFile {
  pid: number;
  url: string;
  webSocketUrl: string;
  startedAt: string;
}

/** `server.json` in the data directory: where a command on the same machine finds this server. */
export async function writeServerFile(dataDirectory: string, server: ServerFile): Promise<void> {
  const path = join(dataDirectory, "server.json");
  const content = { ...server, processStart: await processStart() };
  await writeFile(`${path}.new`, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o644 });
  await rename(`${path}.new`, path);
}

/** Which boot of the machine, and how long after it: no later process of the same number has this. */
async function processStart(): Promise<string> {
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
  const stat = await readFile("/proc/self/stat", "utf8");
  // The program's name, in brackets, may hold anything; the 22nd field is the 20th after it.
  return `${boot.trim()}/${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
}

export async function removeServerFile(dataDirectory: string): Promise<void> {
  await rm(join(dataDirectory, "server.json"), { force: true });
}
