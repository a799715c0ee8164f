import { rm, readFile, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { totalmem } from "node:os";
import { join } from "node:path";
import { LIMITS, newId } from "@insien/protocol";
import type { RunningServer } from "./running-server.ts";
import { type Check, failed, ok, sizeText, textOf, warning } from "./check.ts";

const GIB = 1024 ** 3;
/** Less than this, and the next images and files fail. */
const DISK_FULL_PERCENT = 2;

export async function checkDataDirectory(directory: string): Promise<Check> {
  const name = "data directory";
  const probe = join(directory, `.doctor-${newId()}`);
  try {
    await writeFile(probe, "");
    await rm(probe);
  } catch (error) {
    const advice = "Give this user the right to write there, or another INSIEN_DATA_DIR.";
    return failed(name, `${directory} cannot be written: ${textOf(error)}`, advice);
  }
  const { bavail, blocks, bsize } = await statfs(directory);
  const percent = (100 * bavail) / Math.max(1, blocks);
  const found = `${directory} can be written; ${sizeText(bavail * bsize)} (${Math.floor(percent)} %) are free`;
  const advice = "Free some space, or give an INSIEN_DATA_DIR on a larger disk.";
  if (percent < DISK_FULL_PERCENT) return failed(name, found, advice);
  if (percent < LIMITS.hostDiskFreePercent.value) return warning(name, found, advice);
  return ok(name, found);
}

export async function checkMemory(sandboxBytes: number): Promise<Check> {
  const name = "memory";
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "");
  const availableKiB = Number(/^MemAvailable:\s+(\d+)/m.exec(text)?.[1] ?? Number.NaN);
  if (Number.isNaN(availableKiB)) return ok(name, `${sizeText(totalmem())} in all`);
  const available = availableKiB * 1024;
  const found = `${sizeText(available)} of ${sizeText(totalmem())} are available`;
  if (available >= Math.max(GIB / 2, 2 * sandboxBytes)) return ok(name, found);
  const advice = `A sandbox may use ${sizeText(sandboxBytes)}: end something else, or set a smaller INSIEN_DEFAULT_MEMORY.`;
  return warning(name, found, advice);
}

export interface PortPlan {
  variable: "PORT" | "WS_PORT";
  port: number;
  host: string;
}

/** A port is free, or it is the running server's of this data directory. */
export async function checkPort(plan: PortPlan, server: RunningServer | undefined): Promise<Check> {
  const { variable, port, host } = plan;
  const name = variable === "PORT" ? "port" : "WebSocket port";
  if (port === 0) return ok(name, "A free one is taken at the start");
  const held = variable === "PORT" ? server?.port : server?.webSocketPort;
  if (held === port) return ok(name, `${port} is the running server's`);
  const error = await listenError(port, host);
  if (error === undefined) return ok(name, `${port} on ${host} is free`);
  return failed(
    name,
    `${port} on ${host} cannot be listened on: ${textOf(error)}`,
    `End what holds it, or set ${variable} to another port (0 takes a free one).`,
  );
}

function listenError(port: number, host: string): Promise<Error | undefined> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once("error", resolve);
    probe.listen(port, host, () => probe.close(() => resolve(undefined)));
  });
}
