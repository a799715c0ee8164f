import type { Logger } from "pino";

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
export function stopSignal(log: Logger, message: string): Promise<void> {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      process.once(name, () => {
        log.info({ signal: name }, message);
        process.once(name, () => process.exit(1));
        resolve();
      });
    }
  });
}
