import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ServerFile } from "../server-file.ts";
import { type Check, failed, ok, textOf, warning } from "./check.ts";

const HEALTH_MS = 5_000;

/** The server of this data directory, as it says of itself. */
export interface RunningServer {
  pid: number;
  url: string;
  port: number;
  webSocketPort: number;
  /** What `/health` answers; absent when it does not. */
  health: { status: string; database: string; runtime: string; version: string } | undefined;
  silence?: string;
}

/** `undefined` where none runs, whatever a crash has left. */
export async function findServer(dataDirectory: string): Promise<RunningServer | undefined> {
  const text = await readFile(join(dataDirectory, "server.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const file = JSON.parse(text) as ServerFile;
  if (!isAlive(file.pid)) return undefined;
  const { pid, url } = file;
  const port = Number(new URL(url).port);
  const webSocketPort = Number(new URL(file.webSocketUrl).port);
  try {
    const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(HEALTH_MS) });
    const health = (await answer.json()) as NonNullable<RunningServer["health"]>;
    return { pid, url, port, webSocketPort, health };
  } catch (error) {
    return { pid, url, port, webSocketPort, health: undefined, silence: textOf(error) };
  }
}

export function checkServer(server: RunningServer | undefined): Check {
  const name = "server";
  if (server === undefined) return ok(name, "None runs from this data directory");
  const { pid, url, health, silence } = server;
  const where = `${url} (process ${pid})`;
  if (health === undefined) {
    const advice = `Look into its log, and end process ${pid} if it hangs.`;
    return failed(name, `The one at ${where} does not answer: ${silence ?? "no reason"}`, advice);
  }
  const found = `Version ${health.version} runs at ${where}: ${health.status}`;
  if (health.status === "ok") return ok(name, found);
  return warning(name, found, `Its database is ${health.database}: look into its log.`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
