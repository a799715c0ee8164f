import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { pause } from "../deadline.ts";
import { SandboxConnectionError, SandboxError } from "../errors.ts";

const FIRST_PAUSE_MS = 20;

/** Whether trying again may help: a lost connection yes, a destroyed sandbox or a bad key no. */
export const isWorthRetrying = (error: unknown): boolean =>
  error instanceof SandboxError && error.retryable;

/** The same for a request: what the sandbox itself answered would be its answer again. */
export const isLostConnection = (error: unknown): boolean =>
  error instanceof SandboxConnectionError && error.retryable;

/**
 * Calls `attempt` until it succeeds, fails for good, or `forMs` have passed; throws the last error.
 * Pauses double from 20 ms to a second, each shortened at random so that the clients of a server
 * that restarted do not all come at once.
 */
export async function retry<Value>(
  attempt: () => Promise<Value>,
  options: {
    forMs: number;
    signal?: AbortSignal | undefined;
    worthIt?: (error: unknown) => boolean;
  },
): Promise<Value> {
  const { worthIt = isWorthRetrying } = options;
  const deadline = performance.now() + options.forMs;
  let pauseMs = FIRST_PAUSE_MS;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      const leftMs = deadline - performance.now();
      if (!worthIt(error) || leftMs <= 0) throw error;
      await pause(Math.min(leftMs, pauseMs * (0.5 + Math.random() / 2)), options.signal);
      pauseMs = Math.min(pauseMs * 2, LIMITS.sdkRetryMs.value);
    }
  }
}
