import { realpath, stat } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import {
  InsienError,
  LIMITS,
  MACHINE_PATHS,
  type RpcAnswers,
  type RpcRequests,
  type SearchMatch,
} from "@insien/protocol";
import { openRegularFile } from "./regular-file.ts";
import { SEARCH_SOURCE } from "./search-source.ts";
import type { SearchOrder } from "./search-thread.ts";

/** Of the thread's own heap; the files that it reads lie outside of that. */
const THREAD_HEAP_MEBIBYTES = 64;

let running = 0;
const waiting: (() => void)[] = [];

/** Waits for one of the few threads there may be; the function given back frees it. */
async function takeTurn(): Promise<() => void> {
  if (running >= LIMITS.searchesAtOnce.value) {
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  running += 1;
  return () => {
    running -= 1;
    waiting.shift()?.();
  };
}

function requirePattern({ pattern, regex }: RpcRequests["search"]): void {
  if (regex !== true) return;
  try {
    new RegExp(pattern);
  } catch (error) {
    throw new InsienError("invalid_request", `pattern: ${(error as Error).message}`, {
      details: { field: "pattern" },
    });
  }
}

/** Where the search really begins: links on the way there are followed, links below are not. */
async function realRoot(path: string): Promise<string> {
  const root = await realpath(path);
  if (!(await stat(root)).isDirectory()) {
    const { handle } = await openRegularFile(root);
    await handle.close();
  }
  return root;
}

interface Found {
  matches: SearchMatch[];
  /** It did not come to its end. */
  timedOut: boolean;
}

function runThread(order: SearchOrder, signal: AbortSignal): Promise<Found> {
  const source = new URL(`data:text/javascript,${encodeURIComponent(SEARCH_SOURCE)}`);
  const worker = new Worker(source, {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MEBIBYTES },
  });
  const matches: SearchMatch[] = [];
  let timedOut = false;
  const stop = (): void => void worker.terminate();
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, LIMITS.searchMs.value);
  signal.addEventListener("abort", stop, { once: true });
  worker.on("message", (more: SearchMatch[]) => matches.push(...more));
  return new Promise<Found>((resolve, reject) => {
    worker.once("error", reject);
    worker.once("exit", () => resolve({ matches, timedOut }));
  }).finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  });
}

/**
 * Lines that match, file by file in the order of their names; one match per line. Binary files,
 * large files and what the kernel makes up are left out. `truncated`: there is more.
 *
 * Throws `timeout` when `searchMs` brought nothing to light, `invalid_request` for a bad pattern.
 */
export async function search(
  path: string,
  request: RpcRequests["search"],
  signal: AbortSignal,
): Promise<RpcAnswers["search"]> {
  requirePattern(request);
  const root = await realRoot(path);
  const { limit = LIMITS.searchMatches.value } = request;
  const order: SearchOrder = {
    root,
    pattern: request.pattern,
    isRegex: request.regex ?? false,
    ignoreCase: request.ignoreCase ?? false,
    glob: request.glob,
    limit,
    fileBytes: LIMITS.searchFileBytes.value,
    lineCharacters: LIMITS.searchLineCharacters.value,
    hidden: MACHINE_PATHS.line,
  };
  const release = await takeTurn();
  try {
    signal.throwIfAborted();
    const { matches, timedOut } = await runThread(order, signal);
    if (timedOut && matches.length === 0) {
      const message = `searching ${path} took more than ${LIMITS.searchMs.value} ms and found nothing`;
      throw new InsienError("timeout", message, { details: { limitMs: LIMITS.searchMs.value } });
    }
    return { matches: matches.slice(0, limit), truncated: timedOut || matches.length > limit };
  } finally {
    release();
  }
}
