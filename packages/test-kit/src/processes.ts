import { readFileSync } from "node:fs";

/**
 * Whether a process runs. The remains of one that ended are left until its parent asks for them,
 * which the first process of a container may never do: those do not count.
 */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
