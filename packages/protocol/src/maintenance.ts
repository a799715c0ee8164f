/** What the cleanup worker removes, or would. */
import { z } from "zod";

export const CLEANUP_KINDS = [
  "sandbox",
  "machine",
  "network",
  "volume",
  "image",
  "record",
] as const;

export const cleanupBody = z.strictObject({
  /** `true`: only says what it would do. */
  dry_run: z.boolean().optional(),
});

export const cleanupItem = z.object({
  kind: z.enum(CLEANUP_KINDS),
  id: z.string(),
  /** A sentence. */
  reason: z.string(),
  /** What removing it frees, where that is known. */
  bytes: z.number().optional(),
  /** Absent in a dry run. */
  removed: z.boolean().optional(),
  error: z.string().optional(),
});
export type CleanupItem = z.infer<typeof cleanupItem>;

export const cleanupAnswer = z.object({ dry_run: z.boolean(), items: z.array(cleanupItem) });
export type CleanupAnswer = z.infer<typeof cleanupAnswer>;
