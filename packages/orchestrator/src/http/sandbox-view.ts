import type { SandboxView } from "@insien/protocol";
import type { ApiKey, Sandbox, SandboxEvent } from "../app/application.ts";

const MiB = 1024 * 1024;

/** Names every field it sends: what a sandbox has besides stays inside until it is named too. */
export function sandboxView(sandbox: Sandbox, agentUrl: string): SandboxView {
  return {
    id: sandbox.id,
    name: sandbox.name,
    template: sandbox.template,
    image: sandbox.image,
    state: sandbox.state,
    state_reason: sandbox.stateReason,
    runtime: sandbox.runtime,
    resources: {
      cpu: sandbox.limits.cpu,
      memory: memoryText(sandbox.limits.memoryBytes),
      pids: sandbox.limits.pids,
      gpu: sandbox.gpu,
      max_retries: sandbox.maxRetries,
    },
    read_only: sandbox.readOnly,
    main: sandbox.main,
    network: sandbox.network,
    metadata: sandbox.metadata,
    environment_keys: Object.keys(sandbox.environment),
    created_at: sandbox.createdAt.toISOString(),
    started_at: sandbox.startedAt?.toISOString(),
    ended_at: sandbox.endedAt?.toISOString(),
    expires_at: sandbox.expiresAt?.toISOString(),
    idle_timeout_seconds: sandbox.idleTimeoutSeconds,
    last_activity_at: sandbox.lastActivityAt.toISOString(),
    agent_url: agentUrl,
  };
}

const memoryText = (bytes: number): string =>
  bytes % MiB === 0 ? `${bytes / MiB}m` : String(bytes);

export const eventView = (event: SandboxEvent) => ({
  sequence: event.sequence,
  sandbox_id: event.sandboxId,
  type: event.type,
  at: event.at.toISOString(),
  data: event.data,
});

export const keyView = (key: ApiKey) => ({
  id: key.id,
  name: key.name,
  owner_id: key.ownerId,
  prefix: key.prefix,
  admin: key.admin,
  created_at: key.createdAt.toISOString(),
  last_used_at: key.lastUsedAt?.toISOString(),
});
