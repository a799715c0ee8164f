/** What an owner may have, and the sentence for whoever wants more. Pure. */
import { InsienError, QUOTA_NAMES, type QuotaName } from "@insien/protocol";
import type { OwnerUsage } from "../db/index.ts";

/** Those that are bounded; sizes in bytes. */
export type QuotaBounds = Readonly<Partial<Record<QuotaName, number>>>;

/** What is about to be added to an owner's usage. */
export type Wanted = Readonly<Partial<Record<QuotaName, number>>>;

const WINDOW_SECONDS = 60;
/** Sums of fractions of cores are not exact. */
const TOLERANCE = 1e-6;
const UNITS = ["", "k", "m", "g", "t"];

const ADVICE: Record<QuotaName, string> = {
  sandboxes: "destroy a sandbox that you no longer need",
  cpu: "stop or destroy a sandbox, or ask for fewer cores",
  memory: "stop or destroy a sandbox, or ask for less memory",
  disk: "destroy sandboxes or delete volumes that hold files you no longer need",
  creates_per_minute: "wait a moment",
};

/** Throws `rate_limited` for creates per minute and `quota_exceeded` for all others. */
export function assertWithin(bounds: QuotaBounds, usage: OwnerUsage, wanted: Wanted): void {
  for (const quota of QUOTA_NAMES) {
    const limit = bounds[quota];
    const more = wanted[quota];
    if (limit === undefined || more === undefined) continue;
    const used = usage.used[quota];
    // Files are measured after the fact: who has reached the limit gets no place to put more.
    const isFull = quota === "disk" && used >= limit;
    if (isFull || used + more > limit + TOLERANCE) throw refusal(quota, limit, usage);
  }
}

function refusal(quota: QuotaName, limit: number, usage: OwnerUsage): InsienError {
  const used = Math.round(usage.used[quota] * 1000) / 1000;
  const facts = { quota, limit, used };
  const message =
    `The quota '${quota}' is ${shown(quota, limit)}, of which ${shown(quota, used)} are used: ` +
    `${ADVICE[quota]}, or ask an administrator for a higher one`;
  if (quota !== "creates_per_minute")
    return new InsienError("quota_exceeded", message, { details: facts });
  const wait = WINDOW_SECONDS - (usage.oldestCreateAgeSeconds ?? 0);
  const retryAfterSeconds = Math.max(1, Math.ceil(wait));
  return new InsienError("rate_limited", message, { details: { ...facts, retryAfterSeconds } });
}

function shown(quota: QuotaName, amount: number): string {
  if (quota !== "memory" && quota !== "disk") return String(amount);
  const power = Math.max(
    0,
    UNITS.findLastIndex((_, index) => amount >= 1024 ** index),
  );
  return `${Math.round((amount / 1024 ** power) * 100) / 100}${UNITS[power] ?? ""}`;
}
