import { newSandboxId } from "@insien/protocol";
import type { SandboxRecord } from "../src/db/index.ts";

export function newSandboxRow(over: Partial<SandboxRecord> = {}): Omit<SandboxRecord, "version"> {
  const now = new Date();
  return {
    id: newSandboxId(),
    ownerId: "owner",
    name: undefined,
    template: "base",
    image: undefined,
    state: "creating",
    stateReason: undefined,
    runtime: "fake",
    limits: { cpu: 0.5, memoryBytes: 64 * 1024 ** 3, pids: 64 },
    network: "none",
    readOnly: false,
    gpu: undefined,
    entrypoint: undefined,
    command: undefined,
    maxRetries: 0,
    environmentChangedAt: undefined,
    entrypointChangedAt: undefined,
    main: undefined,
    diskBytes: undefined,
    metadata: {},
    environment: {},
    machineId: undefined,
    nodeId: "node",
    createdAt: now,
    startedAt: undefined,
    endedAt: undefined,
    expiresAt: undefined,
    idleTimeoutSeconds: 0,
    lastActivityAt: now,
    ...over,
  };
}
