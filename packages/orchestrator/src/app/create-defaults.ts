import { type CreateSandboxBody, InsienError, asSandboxId, parseMemory } from "@insien/protocol";
import type { MachineLimits, RuntimeCapabilities } from "@insien/runtime";
import type { CreateRequest } from "./create-request.ts";

export interface SandboxDefaults {
  limits: MachineLimits;
  network: "none" | "internet";
  ttlSeconds: number;
  idleTimeoutSeconds: number;
}

/** What a body asks for, with the server's defaults for what it leaves out. */
export function requestOf(
  body: CreateSandboxBody,
  ownerId: string,
  defaults: SandboxDefaults,
): CreateRequest {
  const { resources, build_context: context } = body;
  return {
    id: body.id === undefined ? undefined : asSandboxId(body.id),
    ownerId,
    name: body.name,
    template: body.template,
    image: body.image,
    environment: body.environment ?? {},
    metadata: body.metadata ?? {},
    limits: limitsOf(resources, defaults.limits),
    network: body.network ?? defaults.network,
    readOnly: body.read_only ?? false,
    gpu: resources?.gpu,
    entrypoint: body.entrypoint,
    command: body.command,
    maxRetries: resources?.max_retries ?? 0,
    volumes: body.volumes ?? {},
    ports: body.ports ?? [],
    build: context === undefined ? undefined : { context, force: body.force_build ?? false },
    ttlSeconds: body.ttl_seconds ?? resources?.timeout ?? defaults.ttlSeconds,
    idleTimeoutSeconds: body.idle_timeout_seconds ?? defaults.idleTimeoutSeconds,
  };
}

/** Throws `capability_missing`, with the reason, for what no machine of this runtime can be. */
export function assertPossible(
  { network, readOnly, gpu }: CreateRequest,
  capabilities: RuntimeCapabilities,
): void {
  if (!capabilities.networks.includes(network)) {
    throw missing(capabilities, "network", `has no '${network}' network`);
  }
  if (readOnly && !capabilities.readOnlyRoot) {
    throw missing(capabilities, "read-only", "makes no sandboxes with read_only");
  }
  if (gpu !== undefined && !capabilities.gpus) {
    throw missing(capabilities, "GPU", "gives no GPUs to sandboxes");
  }
}

function missing({ notes }: RuntimeCapabilities, subject: string, statement: string): InsienError {
  const why = notes.find((note) => note.includes(subject)) ?? "";
  return new InsienError("capability_missing", `This server's runtime ${statement}. ${why}`.trim());
}

function limitsOf(
  resources: CreateSandboxBody["resources"],
  defaults: MachineLimits,
): MachineLimits {
  const memoryBytes = resources?.memory === undefined ? undefined : parseMemory(resources.memory);
  return {
    cpu: resources?.cpu ?? defaults.cpu,
    memoryBytes: memoryBytes ?? defaults.memoryBytes,
    pids: resources?.pids ?? defaults.pids,
  };
}
