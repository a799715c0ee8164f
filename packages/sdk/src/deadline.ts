/** Bounding what is waited for: by the caller's signal and by a time. */
import { sandboxError } from "./errors.ts";

export interface Deadline {
  /** What is waited for, for the timeout's message. */
  what: string;
  signal?: AbortSignal | undefined;
  /** 0 or absent: no limit. */
  timeoutMs?: number | undefined;
}

/**
 * Runs `task` with a signal that ends when the caller's does or the time is over, and stops waiting
 * then, even where the task does not listen. Rejects with the signal's reason or `timeout`.
 */
export async function withDeadline<Value>(
  deadline: Deadline,
  task: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const { what, signal, timeoutMs = 0 } = deadline;
  signal?.throwIfAborted();
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let forward: (() => void) | undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    const end = (reason: unknown): void => {
      controller.abort(reason);
      reject(reason);
    };
    forward = () => end(signal?.reason);
    signal?.addEventListener("abort", forward, { once: true });
    if (timeoutMs > 0) timer = setTimeout(() => end(requestTimeout(what, timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([task(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    if (forward !== undefined) signal?.removeEventListener("abort", forward);
  }
}

export const requestTimeout = (what: string, timeoutMs: number): Error =>
  sandboxError("timeout", `${what} got no answer within ${timeoutMs} ms (requestTimeoutMs)`, {
    details: { requestTimeoutMs: timeoutMs },
    hint: "Raise requestTimeoutMs, or look whether the server and the sandbox are well.",
  });

/** Waits, unless the signal ends it with its reason. */
export function pause(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, durationMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Stops waiting for the promise when the signal ends it, with the signal's reason. */
export function abortable<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
