/** The states of a sandbox, without any schema: the SDK takes this file alone. */
export const SANDBOX_STATES = [
  "creating",
  "running",
  "pausing",
  "paused",
  "stopping",
  "stopped",
  "destroying",
  "destroyed",
  "failed",
] as const;
export type SandboxState = (typeof SANDBOX_STATES)[number];
