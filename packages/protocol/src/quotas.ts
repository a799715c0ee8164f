/** What one owner may have at once, and how fast. */
import { z } from "zod";
import { sizeText } from "./memory-size.ts";

const none = "null: no bound";
/** `null`: no bound; left out of a change: the server's default. */
export const quotaBody = z.strictObject({
  /** Sandboxes that are not destroyed or failed. */
  sandboxes: z.int().min(0).nullable().optional(),
  /** Cores of these that are not stopped, together. */
  cpu: z.number().min(0).nullable().optional(),
  /** Of these together, such as 16g. */
  memory: sizeText("0", "16t").nullable().optional(),
  /** Files of sandboxes and volumes as last measured, such as 100g. */
  disk: sizeText("0", "1024t").nullable().optional(),
  creates_per_minute: z.int().min(0).nullable().optional(),
});
export type QuotaBody = z.infer<typeof quotaBody>;

const bound = z.number().nullable().describe(none);
export const quotaView = z.object({
  owner_id: z.string(),
  limits: z.object({
    sandboxes: bound,
    cpu: bound,
    memory_bytes: bound,
    disk_bytes: bound,
    creates_per_minute: bound,
  }),
  used: z.object({
    sandboxes: z.number(),
    cpu: z.number(),
    memory_bytes: z.number(),
    disk_bytes: z.number(),
  }),
});
export type QuotaView = z.infer<typeof quotaView>;

/** Names of quotas, as `details.quota` of an error has them. */
export const QUOTA_NAMES = ["sandboxes", "cpu", "memory", "disk", "creates_per_minute"] as const;
export type QuotaName = (typeof QUOTA_NAMES)[number];
