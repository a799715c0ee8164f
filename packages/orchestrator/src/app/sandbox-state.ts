/**
 * The life of a sandbox. Pure: what may happen in which state, and nothing else.
 *
 * - A sandbox is `creating` until its agent is on the line, then `running`.
 * - The states that end in -ing are promises: whoever finds a sandbox in one finishes what it says,
 *   be it the call that began it or the reconciler after a crash. Doing it twice does no harm.
 * - `machineLost` means that the machine is gone or useless; a sandbox that needs one has then
 *   `failed`. What ends a machine on purpose (stopping, destroying) is not a loss.
 * - `failed` leads to `destroying` only, and `destroyed` leads nowhere.
 * - Asking for what is so already, or is on its way, is ignored; asking for what cannot be is
 *   refused with the sentence that says what to do first.
 *
 * docs/sandbox-states.md shows the table; a test holds it against this one.
 */
import { InsienError, type SandboxState } from "@insien/protocol";

export const SANDBOX_EVENTS = [
  /** The agent of a new or restarted machine is on the line. */
  "machineReady",
  /** The machine ended unasked, could not be made, or does not answer any more. */
  "machineLost",
  "stopRequested",
  "stopped",
  "startRequested",
  "pauseRequested",
  "paused",
  "resumeRequested",
  /** Its expiry or idle timeout changed; the state does not. */
  "extended",
  /** Its environment or its main command changed; the state does not. */
  "configured",
  "destroyRequested",
  /** The machine and all that was made for it are gone. */
  "destroyed",
] as const;
export type SandboxEventName = (typeof SANDBOX_EVENTS)[number];

type Outcome = SandboxState | "ignore" | "refuse";

/** Total by type: a new state or event does not compile until every case is decided. */
export const TRANSITIONS: Record<SandboxState, Record<SandboxEventName, Outcome>> = {
  creating: {
    machineReady: "running",
    machineLost: "failed",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "ignore",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "ignore",
    extended: "creating",
    configured: "creating",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  running: {
    machineReady: "ignore",
    machineLost: "failed",
    stopRequested: "stopping",
    stopped: "ignore",
    startRequested: "ignore",
    pauseRequested: "pausing",
    paused: "ignore",
    resumeRequested: "ignore",
    extended: "running",
    configured: "running",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  pausing: {
    machineReady: "ignore",
    machineLost: "failed",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "refuse",
    pauseRequested: "ignore",
    paused: "paused",
    resumeRequested: "refuse",
    extended: "pausing",
    configured: "pausing",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  paused: {
    machineReady: "ignore",
    machineLost: "failed",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "refuse",
    pauseRequested: "ignore",
    paused: "ignore",
    resumeRequested: "creating",
    extended: "paused",
    configured: "paused",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  stopping: {
    machineReady: "ignore",
    // A stop that the machine does not survive leaves no files to start again with.
    machineLost: "failed",
    stopRequested: "ignore",
    stopped: "stopped",
    startRequested: "refuse",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "refuse",
    extended: "stopping",
    configured: "stopping",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  stopped: {
    machineReady: "ignore",
    // Its machine is stopped, not gone: once it is gone, so are the files.
    machineLost: "failed",
    stopRequested: "ignore",
    stopped: "ignore",
    startRequested: "creating",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "refuse",
    extended: "stopped",
    configured: "stopped",
    destroyRequested: "destroying",
    destroyed: "destroyed",
  },
  failed: {
    machineReady: "ignore",
    machineLost: "ignore",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "refuse",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "refuse",
    extended: "refuse",
    configured: "refuse",
    destroyRequested: "destroying",
    destroyed: "ignore",
  },
  destroying: {
    machineReady: "ignore",
    machineLost: "ignore",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "refuse",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "refuse",
    extended: "refuse",
    configured: "refuse",
    destroyRequested: "ignore",
    destroyed: "destroyed",
  },
  destroyed: {
    machineReady: "ignore",
    machineLost: "ignore",
    stopRequested: "refuse",
    stopped: "ignore",
    startRequested: "refuse",
    pauseRequested: "refuse",
    paused: "ignore",
    resumeRequested: "refuse",
    extended: "refuse",
    configured: "refuse",
    destroyRequested: "ignore",
    destroyed: "ignore",
  },
};

export type Step =
  /** Write this state; it may be the one there was, when only other fields change. */
  | { kind: "move"; state: SandboxState }
  /** Nothing is to be written: it is so already, or no longer matters. */
  | { kind: "ignore" }
  | { kind: "refuse"; error(id: string, reason?: string): InsienError };

/** What an event does to a sandbox in a state. */
export function next(state: SandboxState, event: SandboxEventName): Step {
  const outcome = TRANSITIONS[state][event];
  if (outcome === "ignore") return { kind: "ignore" };
  if (outcome === "refuse")
    return { kind: "refuse", error: (id, reason) => refusal(state, id, reason) };
  return { kind: "move", state: outcome };
}

const ADVICE: Record<SandboxState, string> = {
  creating: "is still being made: wait until it runs",
  running: "runs: stop or pause it first",
  pausing: "is being paused: wait for that, then resume it",
  paused: "is paused: resume it first",
  stopping: "is being stopped: wait for that, then start it",
  stopped: "is stopped: start it first",
  failed: "failed",
  destroying: "is being destroyed: create a new one",
  destroyed: "is destroyed: create a new one",
};

/** Why something cannot be done with a sandbox in this state, and what to do first. */
export function refusal(state: SandboxState, id: string, reason?: string): InsienError {
  const because = state === "failed" && reason !== undefined ? `: ${reason}` : "";
  const code = state === "failed" ? "sandbox_failed" : "sandbox_state";
  return new InsienError(code, `Sandbox ${id} ${ADVICE[state]}${because}`, { details: { state } });
}
