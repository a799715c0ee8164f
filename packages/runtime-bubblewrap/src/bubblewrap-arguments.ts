/** A machine, as bwrap is told to build it. */
import { join } from "node:path";
import { AGENT_ENVIRONMENT, MACHINE_PATHS } from "@insien/protocol";
import type { AgentKit } from "@insien/runtime";
import { NAMESPACES, type Host } from "./host.ts";
import type { MachineRecord } from "./machine-record.ts";
import type { MachineDirectories } from "./staging.ts";
import { HOSTNAME, USER } from "./system-files.ts";

/** Descriptors that bwrap gets besides its standard ones. */
export const DESCRIPTORS = { status: 3, seccomp: 4, start: 5 };

/** /dev/shm and /run together may fill the machine's memory and not more. */
const SHARED_MEMORY_PART = 0.5;

interface Contents {
  host: Host;
  record: MachineRecord;
  kit: AgentKit;
  directories: MachineDirectories;
}

/** Everything after `bwrap`: the machine's file system, its walls, and its first process. */
export function bubblewrapArguments({ host, record, kit, directories }: Contents): string[] {
  const sharedMemoryBytes = Math.round(record.limits.memoryBytes * SHARED_MEMORY_PART);
  return [
    ...NAMESPACES,
    ...(host.network === undefined ? ["--unshare-net"] : []),
    ...host.userNamespaceArguments,
    ...["--uid", String(USER.id), "--gid", String(USER.id), "--hostname", HOSTNAME],
    ...["--new-session", "--as-pid-1", "--cap-drop", "ALL"],
    ...["--json-status-fd", String(DESCRIPTORS.status), "--seccomp", String(DESCRIPTORS.seccomp)],
    ...["--block-fd", String(DESCRIPTORS.start)],
    ...host.systemArguments,
    ...["--ro-bind", directories.etc, "/etc"],
    ...["--proc", "/proc", "--dev", "/dev"],
    ...["--perms", "1777", "--size", String(sharedMemoryBytes), "--tmpfs", "/dev/shm"],
    ...["--size", String(sharedMemoryBytes), "--tmpfs", "/run"],
    ...(host.controlGroups?.view(record.machineId) ?? []).flatMap(({ from, to }) => [
      ...["--ro-bind", from, to],
    ]),
    ...["--bind", directories.home, USER.home, "--bind", directories.tmp, "/tmp"],
    ...["--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--symlink", "../run", "/var/run"],
    ...(record.volumes ?? []).flatMap(({ target, readOnly }, index) => [
      ...[readOnly ? "--ro-bind" : "--bind", directories[`volume${index}`] ?? "", target],
    ]),
    ...["--ro-bind", directories.kit, MACHINE_PATHS.kit],
    ...["--ro-bind", directories.line, MACHINE_PATHS.line],
    ...["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", USER.home, "--clearenv"],
    ...Object.entries(environment(record, kit)).flatMap(([name, value]) => [
      ...["--setenv", name, value],
    ]),
    ...["--", ...perProcessLimits(host, record), ...kit.command],
  ];
}

function environment(record: MachineRecord, kit: AgentKit): Record<string, string> {
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: USER.home,
    USER: USER.name,
    LOGNAME: USER.name,
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
    ...kit.environment,
    [AGENT_ENVIRONMENT.line]: `unix:${join(MACHINE_PATHS.line, "line.sock")}`,
    [AGENT_ENVIRONMENT.machineId]: record.machineId,
    [AGENT_ENVIRONMENT.tokenFile]: join(MACHINE_PATHS.line, "token"),
  };
}

/**
 * V8 maps its code range of half a gigabyte writable before it uses any of it, and the stacks of
 * Node's threads count as well: with less, neither the agent nor any other Node would start.
 */
const NODE_RESERVES_BYTES = 640 * 1024 * 1024;

/**
 * Where control groups hold nothing. Set inside the machine, where the kernel counts only the
 * machine's processes; DATA rather than AS, because programs reserve far more addresses than they
 * use memory.
 */
function perProcessLimits(host: Host, record: MachineRecord): string[] {
  const { memory, pids } = host.controlGroups?.holds ?? { memory: false, pids: false };
  if (host.prlimit === undefined || (memory && pids)) return [];
  const limits = [
    ...(memory ? [] : [`--data=${record.limits.memoryBytes + NODE_RESERVES_BYTES}`]),
    ...(pids ? [] : [`--nproc=${record.limits.pids}`]),
  ];
  return [host.prlimit, ...limits, "--"];
}
