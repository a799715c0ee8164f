import type { CreateVolumeBody, MountBody, SandboxId } from "@insien/protocol";
import type { Principal } from "./principal.ts";

export interface Volume {
  id: string;
  name: string;
  type: "local" | "network";
  driver: "local" | "nfs";
  sizeBytes: number | undefined;
  /** Where it is mounted when a mount names no path. */
  mountPath: string | undefined;
  /** The node whose host holds it; every host reaches an nfs volume. */
  nodeId: string | undefined;
  createdAt: Date;
  mounts: readonly { sandboxId: SandboxId; mountPath: string; readOnly: boolean }[];
}

/** A volume as part of a sandbox. */
export interface Mount {
  volumeId: string;
  name: string;
  type: "local" | "network";
  mountPath: string;
  readOnly: boolean;
}

export interface MountChange {
  mounts: readonly Mount[];
  /** The machine was made anew: files are kept, programs were ended. */
  restarted: boolean;
  /** What that means, in a sentence. */
  note: string;
}

/** Network volumes: `volume_not_found` for what does not exist or is another owner's. */
export interface Volumes {
  create(principal: Principal, body: CreateVolumeBody): Promise<Volume>;
  /** The newest first. */
  list(principal: Principal): Promise<Volume[]>;
  get(principal: Principal, nameOrId: string): Promise<Volume>;
  /** Throws `volume_in_use`, naming the sandboxes, while any mounts it, a stopped one too. */
  delete(principal: Principal, nameOrId: string): Promise<void>;
}

/** Volumes of one sandbox: `sandbox_not_found` for what does not exist or is another owner's. */
export interface Mounts {
  /** By path. */
  list(principal: Principal, id: SandboxId): Promise<Mount[]>;
  mount(principal: Principal, id: SandboxId, body: MountBody): Promise<MountChange>;
  unmount(principal: Principal, id: SandboxId, nameOrId: string): Promise<MountChange>;
  /**
   * Where in the sandbox a path of one of its volumes is, and the volume itself. Throws `invalid_path`
   * for one that leads out.
   */
  pathIn(
    principal: Principal,
    id: SandboxId,
    nameOrId: string,
    path: string,
  ): Promise<{ path: string; root: string }>;
}
