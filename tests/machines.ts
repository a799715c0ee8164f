/** The machines of one server as the host sees them, by nothing that the server says of itself. */
import { execFile } from "node:child_process";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type TestServer, waitFor } from "@insien/test-kit";
import type { TestedRuntime } from "./runtimes.ts";

const run = promisify(execFile);
/** A round of the reconciler is ten seconds, and tests share their machine. */
const SETTLED_MS = 60_000;

export async function machinesOf(server: TestServer, runtime: TestedRuntime): Promise<string[]> {
  if (runtime === "bubblewrap") return machinesNaming(server.dataDirectory);
  const owner = (await readFile(join(server.dataDirectory, "node-id"), "utf8")).trim();
  const format = '{{.Label "insien.machine"}}';
  const filter = `label=insien.owner=${owner}`;
  const { stdout } = await run("docker", ["ps", "--all", "--filter", filter, "--format", format]);
  return stdout.split("\n").filter(Boolean);
}

/** Waits until there are exactly so many: none lost, none that nobody owns. */
export async function expectMachines(
  server: TestServer,
  runtime: TestedRuntime,
  count: number,
): Promise<void> {
  await waitFor(
    async () => {
      const machines = await machinesOf(server, runtime);
      if (machines.length === count) return true;
      throw new Error(`there are ${machines.length}: ${machines.join(", ")}`);
    },
    { timeoutMs: SETTLED_MS, intervalMs: 250, describe: `${count} machines on the host` },
  );
}

/** Processes that know a machine's id and see files of this directory: agents, with bwrap or without. */
export async function machinesNaming(dataDirectory: string): Promise<string[]> {
  const found = new Set<string>();
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
    const machineId = /(?:^|\0)INSIEN_MACHINE_ID=([a-z0-9]+)/.exec(environment)?.[1];
    if (machineId === undefined) continue;
    const mounts = await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "");
    if (mounts.includes(dataDirectory)) found.add(machineId);
  }
  return [...found];
}
