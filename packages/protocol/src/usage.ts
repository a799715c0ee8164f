/** What sandboxes use, as the monitor measures it. */
import { z } from "zod";

export const usageSample = z.object({
  at: z.string(),
  /** Cores in use since the sample before, 1.5 for one and a half. */
  cpu_cores: z.number(),
  memory_bytes: z.number(),
  memory_limit_bytes: z.number(),
  pids: z.number(),
  /** Totals since the machine started. */
  network_received_bytes: z.number(),
  network_sent_bytes: z.number(),
  disk_read_bytes: z.number(),
  disk_written_bytes: z.number(),
  /** Of the sandbox's own files, volumes apart; measured less often than the rest. */
  disk_bytes: z.number().optional(),
});
export type UsageSample = z.infer<typeof usageSample>;

export const usageQuery = z.strictObject({
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  /** Seconds that one sample of the answer stands for; chosen to fit by default. */
  step_seconds: z.coerce.number().int().min(1).max(86_400).optional(),
});
export type UsageQuery = z.infer<typeof usageQuery>;
export const usageAnswer = z.object({ step_seconds: z.number(), items: z.array(usageSample) });
export type UsageAnswer = z.infer<typeof usageAnswer>;
