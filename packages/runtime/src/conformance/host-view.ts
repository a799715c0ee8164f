/** What the host sees of machines, read from /proc and /sys by no driver's knowledge. */
import { readdir, readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { AGENT_ENVIRONMENT } from "@insien/protocol";

export interface HostProcess {
  pid: number;
  commandLine: string;
}

/** Processes that carry one of the machines' ids in their environment or command line. */
export async function processesOf(...machineIds: readonly string[]): Promise<HostProcess[]> {
  const found: HostProcess[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const commandLine = await read(`/proc/${entry}/cmdline`);
    const environment = await read(`/proc/${entry}/environ`);
    if (!machineIds.some((id) => commandLine.includes(id) || environment.includes(id))) continue;
    found.push({ pid: Number(entry), commandLine: commandLine.replaceAll("\0", " ").trim() });
  }
  return found;
}

/** The host's pid of the machine's agent, or `undefined` when none runs. */
export async function agentPid(machineId: string): Promise<number | undefined> {
  const marker = `${AGENT_ENVIRONMENT.machineId}=${machineId}`;
  for (const { pid, commandLine } of await processesOf(machineId)) {
    if (!commandLine.includes("agent.cjs")) continue;
    if ((await read(`/proc/${pid}/environ`)).split("\0").includes(marker)) return pid;
  }
  return undefined;
}

/** Everything on this host that still bears one of the machines' ids, as sentences. */
export async function tracesOf(
  machineIds: readonly string[],
  dataDirectory: string,
): Promise<string[]> {
  const traces: string[] = [];
  const isTrace = (text: string) => machineIds.some((id) => text.includes(id));
  for (const { pid, commandLine } of await processesOf(...machineIds)) {
    traces.push(`process ${pid} runs: ${commandLine.slice(0, 200)}`);
  }
  for (const line of (await read("/proc/self/mountinfo")).split("\n")) {
    if (isTrace(line)) traces.push(`mounted: ${line}`);
  }
  for (const directory of ["/sys/fs/cgroup", dataDirectory, "/run/netns"]) {
    const names = await readdir(directory, { recursive: true }).catch(() => []);
    for (const name of names.filter(isTrace)) {
      traces.push(`there is ${directory}/${name}`);
    }
  }
  return traces;
}

/** The host's own addresses besides loopback, without link-local ones (they need a scope). */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => !address.internal && !address.address.startsWith("fe80:"))
    .map((address) => address.address);
}

// Processes end while they are being looked at.
const read = (path: string): Promise<string> => readFile(path, "utf8").catch(() => "");
