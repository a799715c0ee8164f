/** Starting a machine's processes: from a record on disk to a first process that runs. */
import { spawn, type ChildProcess } from "node:child_process";
import { open, type FileHandle } from "node:fs/promises";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import type { AgentKit } from "@insien/runtime";
import { bubblewrapArguments, DESCRIPTORS } from "./bubblewrap-arguments.ts";
import type { Host } from "./host.ts";
import { coverInherited } from "./inherited-descriptors.ts";
import { attachNetwork, type NetworkPlace, releaseNetwork } from "./network.ts";
import type { MachineProcesses, MachineRecord, MachineStore } from "./machine-record.ts";
import { identify, programOf, signalProcess, type ProcessIdentity } from "./process-identity.ts";
import { PLAIN_ENVIRONMENT } from "./programs.ts";
import type { Surroundings } from "./surroundings.ts";
import { stage } from "./staging.ts";
import { dropTo } from "./users.ts";
import type { VolumeDirectories } from "./volume-directories.ts";

export interface LaunchContext extends Surroundings {
  store: MachineStore;
  kit: AgentKit;
  volumes: VolumeDirectories;
}

export interface Launched {
  processes: MachineProcesses;
  /** bwrap outside of the machine: ends when the machine does. */
  child: ChildProcess;
}

/**
 * Joins the control groups, volunteers to be killed before the host's own processes when the whole
 * host runs out of memory, and becomes the program after `--`.
 */
const JOIN = `while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift
echo 300 > /proc/self/oom_score_adj; ulimit -c 0
ulimit -n ${LIMITS.machineOpenFiles.value} 2>/dev/null
exec "$@"`;
/** For a network namespace whose owner is a user namespace that we may enter again later. */
const LOOPBACK_UP = `"$0" link set lo up && exec "$@"`;
const POLL_MS = 2;

/** Throws `create_failed` with what bwrap said; nothing runs then. */
export async function launch(
  context: LaunchContext,
  record: MachineRecord,
  signal?: AbortSignal,
): Promise<Launched> {
  const handles = await openFiles(context, record);
  let child: ChildProcess;
  try {
    child = start(await outerCommand(context, record), handles, context.inherited);
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
  try {
    const processes = await awaitStart(context, record, child, signal);
    return { processes, child };
  } catch (error) {
    await abandon(context, record, child);
    throw error;
  }
}

/**
 * Ends what was started. bwrap is not killed before it has noted its child: a child without its
 * bwrap waits for ever, and nobody would know of it.
 */
async function abandon(
  context: LaunchContext,
  record: MachineRecord,
  child: ChildProcess,
): Promise<void> {
  const deadline = performance.now() + LIMITS.machineEndMs.value;
  while (isRunning(child) && performance.now() < deadline) {
    const { firstPid } = await context.store.status(record.machineId);
    const first = firstPid === undefined ? undefined : identify(firstPid);
    if (first !== undefined) signalProcess(first, "SIGKILL");
    if (firstPid !== undefined) break;
    await sleep(POLL_MS);
  }
  child.kill("SIGKILL");
}

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function openFiles(context: LaunchContext, record: MachineRecord): Promise<FileHandle[]> {
  const own = (name: string) => context.store.path(record.machineId, name);
  const wanted: Array<[path: string, flags: string]> = [
    [own("log"), "a"],
    [own("status.json"), "w"],
    [context.filterPath, "r"],
  ];
  const opened = await Promise.allSettled(wanted.map(([path, flags]) => open(path, flags, 0o600)));
  const handles = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  const failure = opened.find((result) => result.status === "rejected");
  if (failure === undefined) return handles;
  await Promise.all(handles.map((handle) => handle.close()));
  throw new InsienError(
    "create_failed",
    `Machine ${record.machineId} lacks a file: ${failure.reason}`,
  );
}

function start(
  argv: readonly string[],
  handles: readonly FileHandle[],
  inherited: readonly number[],
): ChildProcess {
  const [log = "ignore", ...files] = handles.map((handle) => handle.fd);
  const [program = "", ...parameters] = argv;
  const child = spawn(program, parameters, {
    stdio: coverInherited(["ignore", log, log, ...files, "pipe"], inherited, log),
    env: PLAIN_ENVIRONMENT,
    cwd: "/",
    // A session of its own: it lives on when the orchestrator dies.
    detached: true,
  });
  child.on("error", () => undefined);
  child.unref();
  return child;
}

async function outerCommand(context: LaunchContext, record: MachineRecord): Promise<string[]> {
  const { host, kit, store } = context;
  const own = (name: string) => store.path(record.machineId, name);
  const volumes = await context.volumes.prepare(record);
  const wanted = {
    ...Object.fromEntries(volumes.map((path, index) => [`volume${index}` as const, path])),
    home: own("home"),
    tmp: own("tmp"),
    kit: kit.directory,
    line: record.lineDirectory,
    etc: context.etcDirectory,
  };
  const { directories, prefix } = await stage(host, wanted, own("mounts"));
  const bwrap = [host.bwrap, ...bubblewrapArguments({ host, record, kit, directories })];
  const inNetwork =
    host.network === undefined
      ? bwrap
      : [
          ...[host.network.unshare, "--user", "--map-root-user", "--net", "--"],
          ...[host.shell, "-c", LOOPBACK_UP, host.network.ip, ...bwrap],
        ];
  return inGroups(host, record, [...prefix, ...asUser(host, record, inNetwork)]);
}

/** In the machine's control groups. */
function inGroups(host: Host, record: MachineRecord, argv: readonly string[]): string[] {
  const joinFiles = host.controlGroups?.joinFiles(record.machineId) ?? [];
  return [host.shell, "-c", JOIN, "insien", ...joinFiles, "--", ...argv];
}

/** As the machine's host user. */
function asUser(host: Host, record: MachineRecord, argv: readonly string[]): string[] {
  if (host.root === undefined || record.hostUid === undefined) return [...argv];
  return [...dropTo(host.root.setpriv, record.hostUid), ...argv];
}

/**
 * Waits until bwrap has built the machine, gives it its network, lets the first process go and
 * waits until that has taken bwrap's place.
 */
async function awaitStart(
  context: LaunchContext,
  record: MachineRecord,
  child: ChildProcess,
  signal: AbortSignal | undefined,
): Promise<MachineProcesses> {
  const deadline = performance.now() + LIMITS.bootMs.value;
  const until = async <Value>(probe: () => Promise<Value | undefined>): Promise<Value> => {
    for (;;) {
      signal?.throwIfAborted();
      const value = await probe();
      if (value !== undefined) return value;
      if (!isRunning(child)) {
        throw await whyEnded(context, record, child);
      }
      if (performance.now() >= deadline) {
        throw new InsienError("create_failed", `Machine ${record.machineId} was not built in time`);
      }
      await sleep(POLL_MS);
    }
  };
  const first = await until(async (): Promise<ProcessIdentity | undefined> => {
    const { firstPid } = await context.store.status(record.machineId);
    return firstPid === undefined ? undefined : identify(firstPid);
  });
  const monitor = identify(child.pid ?? 0);
  if (monitor === undefined) throw await whyEnded(context, record, child);
  const network = await networkFor(context.host, record, monitor);
  const gate = child.stdio[DESCRIPTORS.start] as Writable;
  gate.on("error", () => undefined);
  gate.end("1");
  const wrappers = new Set([context.host.bwrap, context.host.prlimit, ""]);
  await until(async () => (wrappers.has(programOf(first.pid)) ? undefined : true));
  return { monitor, first, ...(network === undefined ? {} : { network }) };
}

/** The machine's user-mode network, if it is to have one. */
export async function networkFor(
  host: Host,
  record: MachineRecord,
  monitor: ProcessIdentity,
): Promise<ProcessIdentity | undefined> {
  if (host.network === undefined || record.network === "none") return undefined;
  return await attachNetwork(host.network, placeOf(host, record, monitor));
}

/** Takes the machine's network away while it runs. */
export async function detachNetwork(
  host: Host,
  record: MachineRecord,
  { monitor, network }: MachineProcesses,
): Promise<void> {
  if (host.network === undefined || network === undefined) return;
  await releaseNetwork(host.network, placeOf(host, record, monitor), network);
}

const placeOf = (host: Host, record: MachineRecord, monitor: ProcessIdentity): NetworkPlace => ({
  monitorPid: monitor.pid,
  confine: (argv) => inGroups(host, record, asUser(host, record, argv)),
  asUser: (argv) => asUser(host, record, argv),
});

async function whyEnded(
  context: LaunchContext,
  record: MachineRecord,
  child: ChildProcess,
): Promise<InsienError> {
  const said = await context.store.logTail(record.machineId);
  const end = child.signalCode ?? `code ${child.exitCode ?? "unknown"}`;
  const reason = said === "" ? `bwrap ended with ${end}` : (said.split("\n").at(-1) ?? said);
  return new InsienError("create_failed", `Machine ${record.machineId} did not start: ${reason}`);
}
