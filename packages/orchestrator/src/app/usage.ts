import { InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import { isMeasured, type SandboxRows, type UsageRows, type UsageSample } from "../db/index.ts";
import type { Principal } from "./principal.ts";

const HOUR_MS = 3600 * 1000;
const MINUTE_SECONDS = 60;

export interface UsageRange {
  /** An hour before `to`, by default. */
  from?: Date | undefined;
  /** Now, by default. */
  to?: Date | undefined;
  /** As short as fits into one answer, by default and at least. */
  stepSeconds?: number | undefined;
}

/** What sandboxes used, as their owners may see it. */
export interface UsageHistory {
  /** Throws `sandbox_not_found`, also for another owner's, and `invalid_request` for a range that ends before it begins. */
  history(
    principal: Principal,
    id: SandboxId,
    range: UsageRange,
  ): Promise<{ stepSeconds: number; items: UsageSample[] }>;
}

export interface SandboxUsageParts {
  store: SandboxRows;
  usage: UsageRows;
  /** Between two measurements. */
  intervalMs: number;
}

export class SandboxUsage implements UsageHistory {
  readonly #parts: SandboxUsageParts;

  constructor(parts: SandboxUsageParts) {
    this.#parts = parts;
  }

  async history(principal: Principal, id: SandboxId, range: UsageRange) {
    const row = await this.#parts.store.get(id);
    // What is destroyed is kept for a while, and so is what it used.
    if (row === undefined || row.ownerId !== principal.ownerId)
      throw new InsienError("sandbox_not_found", `There is no sandbox ${id}`);
    const to = range.to ?? new Date();
    const from = range.from ?? new Date(to.getTime() - HOUR_MS);
    if (from >= to) {
      throw new InsienError("invalid_request", "from must be earlier than to", {
        details: { field: "from" },
      });
    }
    const intervalSeconds = Math.max(1, Math.round(this.#parts.intervalMs / 1000));
    const stepSeconds = stepOf(from, to, range.stepSeconds ?? intervalSeconds);
    const query = { from, to, stepSeconds, intervalSeconds };
    return { stepSeconds, items: await this.#parts.usage.history(id, query) };
  }
}

/** The shortest step from `wanted` on with which the range fits into one answer. */
function stepOf(from: Date, to: Date, wanted: number): number {
  const seconds = (to.getTime() - from.getTime()) / 1000;
  const shortest = Math.ceil(seconds / (LIMITS.usagePoints.value - 1));
  const step = Math.max(wanted, shortest);
  // Older than that there is a row for a minute, and nothing in between.
  if (isMeasured(from) && step < MINUTE_SECONDS) return step;
  return Math.ceil(step / MINUTE_SECONDS) * MINUTE_SECONDS;
}
