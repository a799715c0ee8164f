import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface ServerFile {
  pid: number;
  url: string;
  webSocketUrl: string;
  startedAt: string;
}

/** `server.json` in the data directory: where a command on the same machine finds this server. */
export async function writeServerFile(dataDirectory: string, content: ServerFile): Promise<void> {
  const path = join(dataDirectory, "server.json");
  await writeFile(`${path}.new`, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o644 });
  await rename(`${path}.new`, path);
}

export async function removeServerFile(dataDirectory: string): Promise<void> {
  await rm(join(dataDirectory, "server.json"), { force: true });
}
