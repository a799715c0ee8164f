import {
  type BindRequest,
  type BuildContext,
  type CommandLine,
  InsienError,
  type PortConfig,
  type SandboxId,
  type VolumeConfig,
} from "@insien/protocol";
import type { MachineLimits } from "@insien/runtime";
import type { SandboxRecord } from "../db/index.ts";
import { mainCommand } from "./main-command.ts";

const HOSTNAME_CHARS = 63;

/** What a caller wants of a new sandbox, with every default filled in. */
export interface CreateRequest {
  /** Chosen by the caller; a new one when `undefined`. */
  id: SandboxId | undefined;
  ownerId: string;
  name: string | undefined;
  template: string | undefined;
  image: string | undefined;
  environment: Record<string, string>;
  metadata: Record<string, string>;
  limits: MachineLimits;
  network: "none" | "internet";
  readOnly: boolean;
  gpu: string | undefined;
  entrypoint: CommandLine | undefined;
  command: CommandLine | undefined;
  maxRetries: number;
  volumes: Readonly<Record<string, VolumeConfig>>;
  ports: readonly PortConfig[];
  build: { context: BuildContext; force: boolean } | undefined;
  ttlSeconds: number;
  idleTimeoutSeconds: number;
}

/** The row that a request becomes. */
export function newSandboxRow(
  request: CreateRequest,
  over: Pick<
    SandboxRecord,
    "id" | "state" | "machineId" | "startedAt" | "template" | "runtime" | "nodeId"
  >,
): Omit<SandboxRecord, "version"> {
  const now = new Date();
  const { ownerId, name, image, limits, network, metadata, environment } = request;
  const { readOnly, gpu, entrypoint, command, maxRetries } = request;
  return {
    ...{ ownerId, name, image, limits, network, metadata, environment },
    ...{ readOnly, gpu, entrypoint, command, maxRetries },
    environmentChangedAt: undefined,
    entrypointChangedAt: undefined,
    main: undefined,
    diskBytes: undefined,
    stateReason: undefined,
    expiresAt: expiryOf(request.ttlSeconds),
    idleTimeoutSeconds: request.idleTimeoutSeconds,
    createdAt: now,
    endedAt: undefined,
    lastActivityAt: now,
    ...over,
  };
}

/** A create that was sent again gets the sandbox that the first one made. */
export function sameCreate(row: SandboxRecord, request: CreateRequest): SandboxRecord {
  if (row.ownerId === request.ownerId && row.state !== "destroyed") return row;
  throw new InsienError("conflict", `The id ${row.id} is taken: choose another one at random`);
}

/** What a machine is told of the sandbox it becomes. */
export function bindRequest(row: Pick<SandboxRecord, BoundSetting>): BindRequest {
  const { id, environment, name } = row;
  const main = mainCommand(row);
  const hostname = name
    ?.toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")
    .slice(0, HOSTNAME_CHARS);
  return {
    sandboxId: id,
    env: environment,
    ...(hostname ? { hostname } : {}),
    ...(main === undefined ? {} : { main }),
  };
}

type BoundSetting = "id" | "environment" | "name" | "entrypoint" | "command" | "maxRetries";

export const expiryOf = (ttlSeconds: number): Date | undefined =>
  ttlSeconds === 0 ? undefined : new Date(Date.now() + ttlSeconds * 1000);

export const sameLimits = (a: MachineLimits, b: MachineLimits): boolean =>
  a.cpu === b.cpu && a.memoryBytes === b.memoryBytes && a.pids === b.pids;
