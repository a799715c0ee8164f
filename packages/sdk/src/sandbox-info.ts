/** What the server knows of a sandbox, in the SDK's words (camelCase; the wire is snake_case). */
import { SANDBOX_STATES } from "@insien/protocol/sandbox-states";
import type { CreateSandboxRequest } from "./models/create-sandbox-request.ts";
import { mainStatus } from "./settings/main-status.ts";
import {
  boolean,
  date,
  list,
  number,
  object,
  oneOf,
  optional,
  record,
  text,
  type ValueOf,
} from "./wire/shape.ts";

export const sandboxInfo = object({
  id: text,
  name: optional(text),
  template: text,
  image: optional(text),
  state: oneOf(...SANDBOX_STATES),
  /** Why the state is what it is, when that needs saying. */
  stateReason: optional(text),
  runtime: text,
  resources: object({
    cpu: number(),
    memory: text,
    pids: number(),
    gpu: optional(text),
    maxRetries: number(),
  }),
  readOnly: boolean,
  /** Of the main command, when there is one. */
  main: optional(mainStatus),
  network: oneOf("none", "internet"),
  metadata: record(text),
  /** Names only. */
  environmentKeys: list(text),
  createdAt: date,
  startedAt: optional(date),
  endedAt: optional(date),
  expiresAt: optional(date),
  idleTimeoutSeconds: number(),
  lastActivityAt: date,
  agentUrl: text,
});
export type SandboxInfo = ValueOf<typeof sandboxInfo>;

export interface SandboxSettings extends Omit<CreateSandboxRequest, "environment"> {
  /** What every command of the sandbox starts with. */
  env?: Record<string, string> | undefined;
}

/** The settings among a sandbox's options. */
export function createRequestOf(settings: SandboxSettings): CreateSandboxRequest {
  const { env: environment, name, template, image, metadata, resources, network } = settings;
  const { volumes, command, entrypoint, forceBuild, buildContext, ports, readOnly } = settings;
  const { ttlSeconds, idleTimeoutSeconds } = settings;
  return {
    ...{ name, template, image, environment, metadata, resources, network },
    ...{ volumes, command, entrypoint, forceBuild, buildContext, ports, readOnly },
    ...{ ttlSeconds, idleTimeoutSeconds },
  };
}
