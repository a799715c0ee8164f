import {
  type AgentEvent,
  LIMITS,
  MAIN_STATES,
  type MainStatus,
  type SandboxId,
} from "@insien/protocol";
import { instant, isCount, text } from "./agent-values.ts";
import type { ExecutionEvent } from "./execution-event.ts";

/** What each state is called in the stream of events, which clients and webhooks read. */
const RECORDED_AS: Readonly<Record<MainStatus["state"], string>> = {
  running: "main.started",
  waiting: "main.retrying",
  exited: "main.exited",
  failed: "main.failed",
  stopped: "main.stopped",
};

/** What an agent says of the main command; `undefined` for what is no such word, or makes no sense. */
export function mainStatusOf(event: AgentEvent): MainStatus | undefined {
  if (event.type !== "main") return undefined;
  const from: Record<string, unknown> = { ...event };
  const state = MAIN_STATES.find((known) => known === from["state"]);
  const { restarts, maxRetries, exitCode, signal, error } = from;
  if (state === undefined || !isCount(restarts) || !isCount(maxRetries)) return undefined;
  return {
    state,
    restarts,
    max_retries: maxRetries,
    ...(isCount(exitCode) ? { exit_code: exitCode } : {}),
    ...(signal === undefined ? {} : { signal: text(signal) }),
    ...(error === undefined ? {} : { error: text(error, LIMITS.pathBytes.value) }),
    changed_at: instant(from["at"]).toISOString(),
  };
}

export function mainEvent(sandboxId: SandboxId, status: MainStatus): ExecutionEvent {
  const { state, changed_at: changedAt, ...data } = status;
  return { sandboxId, type: RECORDED_AS[state], at: new Date(changedAt), data };
}

/** What is true of a main command whose machine does not run. */
export function ofStoppedMachine(status: MainStatus, now: Date): MainStatus {
  if (status.state !== "running" && status.state !== "waiting") return status;
  const { restarts, max_retries } = status;
  return { state: "stopped", restarts, max_retries, changed_at: now.toISOString() };
}
