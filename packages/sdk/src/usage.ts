/** `sandbox.usage()`: what a sandbox used over time, as the server's monitor measured it. */
import type { ApiClient } from "./api-client.ts";
import type { RequestOptions } from "./configuration.ts";
import { sandboxPath } from "./sandbox-api.ts";
import {
  date,
  integer,
  list,
  number,
  object,
  optional,
  requestOf,
  type ValueOf,
} from "./wire/shape.ts";

const usageSample = object({
  at: date,
  /** Cores in use since the sample before, 1.5 for one and a half. */
  cpuCores: number(),
  memoryBytes: number(),
  memoryLimitBytes: number(),
  pids: number(),
  /** Totals since the machine started. */
  networkReceivedBytes: number(),
  networkSentBytes: number(),
  diskReadBytes: number(),
  diskWrittenBytes: number(),
  /** Of the sandbox's own files, volumes apart; measured less often than the rest. */
  diskBytes: optional(number()),
});
export type UsageSample = ValueOf<typeof usageSample>;

const usageHistory = object({
  /** Seconds that one sample stands for. */
  stepSeconds: number(),
  items: list(usageSample),
});
export type UsageHistory = ValueOf<typeof usageHistory>;

interface UsageQuery {
  from?: Date | undefined;
  to?: Date | undefined;
  /** Seconds that one sample is to stand for; chosen to fit by default. */
  stepSeconds?: number | undefined;
}
export interface UsageOptions extends RequestOptions, UsageQuery {}

const usageQuery = object<UsageQuery>({
  from: optional(date),
  to: optional(date),
  stepSeconds: optional(integer(1, 86_400)),
});

export async function usageOf(
  api: ApiClient,
  id: string,
  { from, to, stepSeconds, ...options }: UsageOptions,
): Promise<UsageHistory> {
  const query = requestOf(usageQuery, { from, to, stepSeconds }) as Record<string, string>;
  return api.json("GET", sandboxPath(id, "/metrics"), { ...options, query, answer: usageHistory });
}
