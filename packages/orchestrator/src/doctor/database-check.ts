import { examineDatabase } from "../db/examination.ts";
import { type Check, failed, ok, textOf, warning } from "./check.ts";
import type { RunningServer } from "./running-server.ts";

const SLOW_MS = 50;
const NAME = "database";

export async function checkDatabase(
  url: string | undefined,
  server: RunningServer | undefined,
): Promise<Check> {
  return url === undefined ? checkEmbedded(server) : checkPostgresql(url);
}

/** It is open in one process at a time, so that only that process can say how it is. */
function checkEmbedded(server: RunningServer | undefined): Check {
  if (server === undefined) return ok(NAME, "The embedded one, which opens with the server");
  const state = server.health?.database ?? "silent";
  if (state === "ok") return ok(NAME, "The embedded one answers its server");
  return failed(
    NAME,
    `The embedded one is ${state}`,
    "Look into the server's log, and start it again.",
  );
}

async function checkPostgresql(url: string): Promise<Check> {
  const examined = await examineDatabase(url).catch((error: unknown) => textOf(error));
  if (typeof examined === "string") {
    const advice = "Start it, or correct DATABASE_URL.";
    return failed(NAME, `PostgreSQL cannot be reached: ${examined}`, advice);
  }
  const { version, latencyMs, pending, unknown } = examined;
  const found = `PostgreSQL ${version} answers in ${latencyMs.toFixed(1)} ms`;
  if (unknown > 0) {
    const advice = "Run the version that was here last, or a newer one.";
    return failed(NAME, `${found}; its tables are of a newer version of Insien`, advice);
  }
  if (pending > 0) {
    const advice = "The next start of a server brings them up to date.";
    return warning(NAME, `${found}; ${pending} changes to its tables are due`, advice);
  }
  if (latencyMs > SLOW_MS)
    return warning(NAME, found, "Every request waits for it: put it nearer to the server.");
  return ok(NAME, `${found}; its tables are up to date`);
}
