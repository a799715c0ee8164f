import type { Progress, VolumeMount } from "@insien/runtime";
import type { SandboxRecord } from "../db/index.ts";
import type { CreateRequest } from "./create-request.ts";

/**
 * What a sandbox has besides its machine, such as ports and volumes. The lifecycle tells each kind
 * when something happens to the sandbox; calls about one sandbox come one at a time, and each may
 * come twice, because the reconciler finishes what a crash cut short.
 */
export interface Belongings {
  /** The row was written, and the machine is about to be made. What this throws refuses the create. */
  prepare?(
    row: SandboxRecord,
    request: CreateRequest,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
  ): Promise<{ volumes?: readonly VolumeMount[] } | undefined>;
  /** It can be reached: after a create, a start, and when a new process takes it up. */
  running?(row: SandboxRecord): Promise<void>;
  /** It cannot be reached any more, for whatever reason. Must not throw. */
  away?(row: SandboxRecord): void;
  /** It is destroyed or failed, and its machine is gone: nothing of it may be left. */
  ended?(row: SandboxRecord): Promise<void>;
}
