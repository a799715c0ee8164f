/**
 * What some runtimes can do besides making machines. Each is a property of `Runtime` that is absent
 * where the runtime has no such thing; the same rules hold: only things of this owner are seen or
 * touched, nothing is remembered that the system does not remember, asking twice does no harm.
 */
import type { MachineId } from "@insien/protocol";
import type { CallOptions, PreparedTemplate, Progress } from "./runtime.ts";

/** A volume as part of a machine. */
export interface VolumeMount {
  volumeId: string;
  /** An absolute path in the machine. */
  target: string;
  readOnly: boolean;
}

export interface VolumeSpec {
  volumeId: string;
  driver: "local" | "nfs";
  sizeBytes?: number;
  /** Of driver nfs. */
  nfs?: { server: string; path: string; mountOptions?: string };
}

export interface StoredVolume {
  volumeId: string;
  driver: "local" | "nfs";
  createdAt: Date;
}

export interface VolumeStore {
  /** Throws `volume_unsupported`, with the reason, for a driver or a size that this host cannot hold to. */
  create(spec: VolumeSpec, options?: CallOptions): Promise<void>;
  /** `false` when there was none. Throws `volume_in_use` while a machine mounts it. */
  destroy(volumeId: string, options?: CallOptions): Promise<boolean>;
  list(options?: CallOptions): Promise<StoredVolume[]>;
  /** Bytes that each volume's files take, where that can be known. */
  sizes(volumeIds: readonly string[], options?: CallOptions): Promise<Map<string, number>>;
  /**
   * Gives a machine exactly these volumes. Its files stay, its programs may end: `restarted` says
   * whether it was made anew while it ran. Throws `volume_failed` with the machine as it was before.
   */
  remount(
    machineId: MachineId,
    mounts: readonly VolumeMount[],
    options?: CallOptions & { graceMs?: number },
  ): Promise<{ restarted: boolean }>;
}

export interface BuildRequest {
  /** Relative path to content; `Dockerfile` is among them. */
  files: ReadonlyMap<string, Uint8Array>;
  /** Builds every step anew. */
  force: boolean;
  /** What the build's own steps may reach; the same rules as for machines. */
  network: "none" | "internet";
  /**
   * Whose build it is: none is answered from what another made, nor can find out by the time that it
   * takes what others build.
   */
  ownerId: string;
}

export interface ImageBuilds {
  /**
   * Builds an image and makes it a template; known contents are answered from the cache. Every
   * printed line comes as progress of step `build`. Throws `build_failed` with `details.step` and
   * `details.output`.
   */
  build(
    request: BuildRequest,
    options?: CallOptions & { onProgress?: (progress: Progress) => void },
  ): Promise<PreparedTemplate & { cached: boolean }>;
}

export interface MachineUsage {
  at: Date;
  /** Total since the machine started; the rest too, but memory and pids, which are of the moment. */
  cpuSeconds: number;
  memoryBytes: number;
  memoryLimitBytes: number;
  pids: number;
  networkReceivedBytes: number;
  networkSentBytes: number;
  diskReadBytes: number;
  diskWrittenBytes: number;
  /** Processes killed because memory ran out. */
  outOfMemoryKills: number;
}

export interface Meter {
  /** Of the machines that run; those that do not are absent from the answer. */
  measure(
    machineIds: readonly MachineId[],
    options?: CallOptions,
  ): Promise<Map<MachineId, MachineUsage>>;
  /** Bytes that each machine's own files take, volumes apart. Walks files: not for every round. */
  diskSizes(
    machineIds: readonly MachineId[],
    options?: CallOptions,
  ): Promise<Map<MachineId, number>>;
}

/** Something of this owner's that no machine uses any more. */
export interface Leftover {
  kind: "network" | "image" | "machine";
  id: string;
  /** A sentence. */
  reason: string;
  createdAt: Date;
  bytes?: number;
}

export interface Leftovers {
  find(options?: CallOptions): Promise<Leftover[]>;
  /** `false` when it was gone, or is in use by now. */
  remove(leftover: Leftover, options?: CallOptions): Promise<boolean>;
}
