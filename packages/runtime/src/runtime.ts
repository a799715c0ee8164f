/**
 * A runtime makes machines. It knows nothing of sandboxes, owners' names, HTTP or databases: it is
 * given a template, limits and a directory that holds the line, and makes a machine whose first
 * process is the agent.
 *
 * The life of a machine: `create` makes and starts it; it is `running` until its first process ends
 * (`exited`), `stop` ends it with its files kept (`stopped`), `start` runs it again, `destroy`
 * removes it and everything that was made for it. A runtime remembers nothing that it cannot read
 * back from the system itself: after a crash of the orchestrator, `list` on a new instance gives the
 * same machines, and all calls work on them.
 *
 * Every call is idempotent: asking for what is already so succeeds. Calls on different machines may
 * run at once; the caller serialises calls on one machine. Every call that fails leaves nothing
 * behind that `list` would not show.
 *
 * Several installations may share one host: a runtime touches only machines that carry the
 * `ownerId` it was constructed with.
 */
import type { MachineId } from "@insien/protocol";
import type { ImageBuilds, Leftovers, Meter, VolumeMount, VolumeStore } from "./facets.ts";

export type RuntimeName = "docker" | "bubblewrap" | "vm" | "kubernetes" | "fake";

/** What a runtime can promise on this host. What is missing is refused with `capability_missing`. */
export interface RuntimeCapabilities {
  /** Sandboxes from any container image. */
  images: boolean;
  /** Commands may run as other users of the machine, root included. */
  users: boolean;
  /** Which limits hold, and by what means ("cgroup v1", "rlimit", ...). */
  limits: { memory: string | undefined; cpu: string | undefined; pids: string | undefined };
  /** `internet`: outgoing connections to public addresses only. */
  networks: ReadonlyArray<"none" | "internet">;
  /** `stop` keeps files and `start` brings the machine back with them. */
  stopStart: boolean;
  /** `update` works on a running machine. */
  liveUpdate: boolean;
  /** Machines whose root cannot be written. */
  readOnlyRoot: boolean;
  /** GPUs can be given to machines. */
  gpus: boolean;
  /** Sentences for people: why something above is missing, and how to get it. */
  notes: readonly string[];
}

export interface MachineLimits {
  /** Cores; fractions allowed. */
  cpu: number;
  memoryBytes: number;
  /** Processes and threads. */
  pids: number;
}

/** What machines are made from, after `prepare` has made it present on this host. */
export interface Template {
  name: string;
  /** A container image reference; runtimes without `images` ignore it for their own default. */
  image: string;
  /** The default user of commands, when the image has one to prefer. */
  user?: string;
}

export interface PreparedTemplate extends Template {
  /** Changes whenever machines made from the template would differ: pools compare it. */
  fingerprint: string;
}

export interface MachineSpec {
  machineId: MachineId;
  template: PreparedTemplate;
  limits: MachineLimits;
  network: "none" | "internet";
  /** A host directory with `line.sock` and `token`; seen read-only at MACHINE_PATHS.line. */
  lineDirectory: string;
  /** Small texts stored with the machine and given back by `list`: what the caller needs to adopt it. */
  labels: Readonly<Record<string, string>>;
  volumes?: readonly VolumeMount[];
  /** Only /tmp, the user's home and volumes can be written. */
  readOnlyRoot?: boolean;
  /** `all`, a number of them, or ids with commas between. */
  gpu?: string;
}

export interface Machine {
  machineId: MachineId;
  state: "running" | "stopped" | "exited";
  /** A sentence: "killed: out of memory", "agent exited with code 1". Set when `exited`. */
  exitReason?: string;
  templateName: string;
  fingerprint: string;
  labels: Readonly<Record<string, string>>;
  createdAt: Date;
}

/** A machine stopped running, or the runtime itself lost or regained its host. */
export type MachineEvent =
  | { type: "exited"; machineId: MachineId; reason: string }
  | { type: "removed"; machineId: MachineId };

export interface Progress {
  /** "pull", "build", "boot" ... */
  step: string;
  current?: number;
  total?: number;
  message?: string;
}

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Runtime extends AsyncDisposable {
  readonly name: RuntimeName;

  /** Examines the host once and caches the answer. Throws `InsienError` with what to do when the runtime cannot work at all. */
  capabilities(options?: CallOptions): Promise<RuntimeCapabilities>;

  /** Makes a template usable here (pull, build, unpack); quick when nothing is to be done. Throws `image_unavailable` or `template_not_found`. */
  prepare(
    template: Template,
    options?: CallOptions & { onProgress?: (progress: Progress) => void },
  ): Promise<PreparedTemplate>;

  /** Makes and starts a machine; returns when its first process was started, which is before the agent has dialled. */
  create(spec: MachineSpec, options?: CallOptions): Promise<Machine>;

  /** `undefined` when there is no such machine of this owner. */
  inspect(machineId: MachineId, options?: CallOptions): Promise<Machine | undefined>;

  /** All machines of this owner, in any state. */
  list(options?: CallOptions): Promise<Machine[]>;

  /** Changes limits or network of a running machine (late binding). Throws `capability_missing` where that cannot be. */
  update(
    machineId: MachineId,
    changes: { limits?: MachineLimits; network?: "none" | "internet" },
    options?: CallOptions,
  ): Promise<void>;

  /** SIGTERM to the first process, SIGKILL after `graceMs`; files stay. */
  stop(machineId: MachineId, options?: CallOptions & { graceMs?: number }): Promise<void>;

  start(machineId: MachineId, options?: CallOptions): Promise<void>;

  /** Removes the machine, its files and its networks, in any state. `false` when there was none. */
  destroy(machineId: MachineId, options?: CallOptions): Promise<boolean>;

  readonly volumes?: VolumeStore;
  readonly builds?: ImageBuilds;
  readonly meter?: Meter;
  readonly leftovers?: Leftovers;

  /** Ends of machines as they happen, until the signal aborts. A hint only: the reconciler's `list` is what decides. */
  watch(options: { signal: AbortSignal }): AsyncIterable<MachineEvent>;
}

/** The agent and all that it needs to run in any machine, as `prepareKit` of the agent package lays it out. */
export interface AgentKit {
  /** Host directory to be seen read-only at MACHINE_PATHS.kit. */
  directory: string;
  /** The argv of a machine's first process, in terms of MACHINE_PATHS.kit. */
  command: readonly string[];
  /** Environment that the agent process needs besides AGENT_ENVIRONMENT. */
  environment: Readonly<Record<string, string>>;
  /** Of its contents. */
  hash: string;
}
