import { LIMITS } from "@insien/protocol";
import type { Libc } from "./native/libc.ts";

const SIGTERM = 15;
const SIGKILL = 9;
const EVERYONE = -1;
const LOOK_AGAIN_MS = 20;

/**
 * SIGTERM to everything the sandbox runs, up to `killGraceMs` of patience, SIGKILL, exit. As process
 * 1 that is every process there is; the kernel ends what is left when process 1 goes.
 */
export function makeShutdown(libc: Libc, groups: () => number[]): () => void {
  const signalAll = (number: number): boolean => {
    if (process.pid === 1) return libc.kill(EVERYONE, number);
    return groups()
      .map((group) => libc.kill(-group, number))
      .includes(true);
  };
  let begun = false;
  return () => {
    if (begun) return;
    begun = true;
    const deadline = performance.now() + LIMITS.killGraceMs.value;
    let someone = signalAll(SIGTERM);
    const look = (): void => {
      someone &&= signalAll(0);
      if (someone && performance.now() < deadline) {
        setTimeout(look, LOOK_AGAIN_MS);
        return;
      }
      if (someone) signalAll(SIGKILL);
      process.exit(0);
    };
    look();
  };
}
