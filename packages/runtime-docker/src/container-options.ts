/** What a machine is to Docker: every option of its container, each with its reason. */
import { AGENT_ENVIRONMENT, LIMITS, MACHINE_PATHS } from "@insien/protocol";
import type { AgentKit, MachineLimits, MachineSpec } from "@insien/runtime";
import type Docker from "dockerode";
import { containerName, labelsOf } from "./machine-labels.ts";
import { volumeMount } from "./volume-names.ts";

/**
 * What the agent needs, as root without any other privilege, to own files and start commands as
 * other users. A strict subset of Docker's default: no NET_RAW, no MKNOD, no SYS_CHROOT, no SETPCAP.
 */
const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"];

const NANO = 1e9;
/** The host's own processes are to survive when the host, not the machine, runs out of memory. */
const OOM_SCORE_ADJUSTMENT = 500;

export interface ContainerOptions {
  ownerId: string;
  kit: AgentKit;
  /** Leaves out no-new-privileges, without which `sudo` cannot become root. */
  allowSudo: boolean;
  createdAt: Date;
  /** Of a machine whose root is read-only: what makes its user's home writable. */
  homeMount?: Docker.MountSettings | undefined;
}

/** The id of the image that a fingerprint was made from. */
export const imageIdOf = (fingerprint: string): string => fingerprint.split("@")[0] ?? fingerprint;
export const fingerprintOf = (imageId: string, kit: AgentKit): string => `${imageId}@${kit.hash}`;

/** Limits as the Engine wants them, for create and update alike. */
export function limitOptions(limits: MachineLimits) {
  return {
    Memory: limits.memoryBytes,
    // Equal to Memory: no swap, so that a hog is stopped and not slowly spread over the disk.
    MemorySwap: limits.memoryBytes,
    NanoCpus: Math.round(limits.cpu * NANO),
    PidsLimit: limits.pids,
  };
}

function readOnly(source: string, target: string): Docker.MountSettings {
  const BindOptions = { Propagation: "rprivate" } as const;
  return { Type: "bind", Source: source, Target: target, ReadOnly: true, BindOptions };
}

/** Of the machine's memory: what /tmp holds counts as such. */
const TEMPORARY_PART = 0.5;

function readOnlyRootOptions(limits: MachineLimits): Docker.HostConfig {
  const size = Math.floor(limits.memoryBytes * TEMPORARY_PART);
  return {
    ReadonlyRootfs: true,
    Tmpfs: { "/tmp": `rw,exec,nosuid,nodev,mode=1777,size=${size}` },
  };
}

/** `all`, how many, or which. */
function gpuRequest(gpu: string): Docker.DeviceRequest {
  const which = { Driver: "nvidia", Capabilities: [["gpu"]] };
  if (gpu === "all") return { ...which, Count: -1 };
  return /^\d+$/.test(gpu)
    ? { ...which, Count: Number(gpu) }
    : { ...which, DeviceIDs: gpu.split(",") };
}

function environmentOf(spec: MachineSpec, kit: AgentKit): string[] {
  const environment: Record<string, string> = {
    ...kit.environment,
    [AGENT_ENVIRONMENT.line]: `unix:${MACHINE_PATHS.line}/line.sock`,
    [AGENT_ENVIRONMENT.machineId]: spec.machineId,
    [AGENT_ENVIRONMENT.tokenFile]: `${MACHINE_PATHS.line}/token`,
    ...(spec.template.user === undefined ? {} : { [AGENT_ENVIRONMENT.user]: spec.template.user }),
  };
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

function hostConfig(spec: MachineSpec, options: ContainerOptions): Docker.HostConfig {
  const openFiles = LIMITS.machineOpenFiles.value;
  return {
    ...limitOptions(spec.limits),
    CapDrop: ["ALL"],
    CapAdd: CAPABILITIES,
    SecurityOpt: options.allowSudo ? [] : ["no-new-privileges:true"],
    Init: false,
    IpcMode: "private",
    // `internet` is joined after the guard's rules stand (network-guard.ts), never before.
    NetworkMode: "none",
    RestartPolicy: { Name: "no" },
    Mounts: [
      readOnly(options.kit.directory, MACHINE_PATHS.kit),
      readOnly(spec.lineDirectory, MACHINE_PATHS.line),
      ...(spec.volumes ?? []).map((mount) => volumeMount(options.ownerId, mount)),
      ...(options.homeMount === undefined ? [] : [options.homeMount]),
    ],
    ...(spec.readOnlyRoot === true ? readOnlyRootOptions(spec.limits) : {}),
    ...(spec.gpu === undefined ? {} : { DeviceRequests: [gpuRequest(spec.gpu)] }),
    // Counts as the machine's memory, so it needs no tighter bound than a share of that.
    ShmSize: Math.floor(spec.limits.memoryBytes / 2),
    LogConfig: {
      Type: "local",
      Config: {
        "max-size": `${LIMITS.machineLogBytes.value / 1024}k`,
        "max-file": "1",
        compress: "false",
      },
    },
    Ulimits: [
      { Name: "nofile", Soft: openFiles, Hard: openFiles },
      { Name: "core", Soft: 0, Hard: 0 },
    ],
    OomScoreAdj: OOM_SCORE_ADJUSTMENT,
  };
}

export function containerOptions(
  spec: MachineSpec,
  options: ContainerOptions,
): Docker.ContainerCreateOptions {
  return {
    name: containerName(spec.machineId),
    // By id: the tag may point elsewhere by now, and then the fingerprint would lie.
    Image: imageIdOf(spec.template.fingerprint),
    Entrypoint: [...options.kit.command],
    Cmd: [],
    Env: environmentOf(spec, options.kit),
    User: "0:0",
    WorkingDir: "/",
    Hostname: "sandbox",
    Labels: labelsOf(spec, options.ownerId, options.createdAt),
    StopSignal: "SIGTERM",
    Healthcheck: { Test: ["NONE"] },
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    OpenStdin: false,
    Tty: false,
    HostConfig: hostConfig(spec, options),
  };
}
