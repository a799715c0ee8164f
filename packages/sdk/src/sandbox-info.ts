/** What the server knows of a sandbox, in the SDK's words (camelCase; the wire is snake_case). */
import type { CreateSandboxBody, SandboxState, SandboxView } from "@insien/protocol";

export interface SandboxInfo {
  id: string;
  name: string | undefined;
  template: string;
  image: string | undefined;
  state: SandboxState;
  /** Why the state is what it is, when that needs saying. */
  stateReason: string | undefined;
  runtime: string;
  resources: { cpu: number; memory: string; pids: number };
  network: "none" | "internet";
  metadata: Record<string, string>;
  /** Names only: values are never sent back. */
  environmentKeys: string[];
  createdAt: Date;
  startedAt: Date | undefined;
  endedAt: Date | undefined;
  expiresAt: Date | undefined;
  idleTimeoutSeconds: number;
  lastActivityAt: Date;
  agentUrl: string;
}

export interface SandboxSettings {
  name?: string | undefined;
  /** `base` by default. */
  template?: string | undefined;
  /** Any container image instead of a template (docker runtime). */
  image?: string | undefined;
  /** What every command of the sandbox starts with. */
  env?: Record<string, string> | undefined;
  metadata?: Record<string, string> | undefined;
  /** Cores, memory such as "512m", and processes with threads. */
  resources?:
    | { cpu?: number | undefined; memory?: string | undefined; pids?: number | undefined }
    | undefined;
  /** "none" by default; "internet" reaches public addresses only. */
  network?: "none" | "internet" | undefined;
  /** Destroyed this long after its creation or last `setTimeout`; 0: never. */
  ttlSeconds?: number | undefined;
  /** Destroyed after this long without a request, a running command or a terminal; 0: never. */
  idleTimeoutSeconds?: number | undefined;
}

const date = (text: string | undefined): Date | undefined =>
  text === undefined ? undefined : new Date(text);

export function toSandboxInfo(view: SandboxView): SandboxInfo {
  return {
    id: view.id,
    name: view.name,
    template: view.template,
    image: view.image,
    state: view.state,
    stateReason: view.state_reason,
    runtime: view.runtime,
    resources: view.resources,
    network: view.network,
    metadata: view.metadata,
    environmentKeys: view.environment_keys,
    createdAt: new Date(view.created_at),
    startedAt: date(view.started_at),
    endedAt: date(view.ended_at),
    expiresAt: date(view.expires_at),
    idleTimeoutSeconds: view.idle_timeout_seconds,
    lastActivityAt: new Date(view.last_activity_at),
    agentUrl: view.agent_url,
  };
}

export function toCreateBody(settings: SandboxSettings): CreateSandboxBody {
  return {
    name: settings.name,
    template: settings.template,
    image: settings.image,
    environment: settings.env,
    metadata: settings.metadata,
    resources: settings.resources,
    network: settings.network,
    ttl_seconds: settings.ttlSeconds,
    idle_timeout_seconds: settings.idleTimeoutSeconds,
  };
}
