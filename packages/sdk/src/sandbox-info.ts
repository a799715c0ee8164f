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

/** Options of a sandbox that say how it is talked to, and not what it is. */
const TALKING = new Set([
  "apiKey",
  "apiUrl",
  "requestTimeoutMs",
  "reconnectTimeoutMs",
  "signal",
  "onProgress",
]);

/** The settings among a sandbox's options, unknown ones too: whoever reads the request refuses them. */
export function createRequestOf({ env, ...options }: SandboxSettings): CreateSandboxRequest {
  const settings = Object.entries(options).filter(([name]) => !TALKING.has(name));
  return { ...Object.fromEntries(settings), ...(env === undefined ? {} : { environment: env }) };
}
