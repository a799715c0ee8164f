export type { ApiKeyRecord, ApiKeyRows } from "./api-keys.ts";
export { openDatabase, type Database, type DatabaseOptions } from "./database.ts";
export type { EventRows, NewEvent } from "./events.ts";
export type { LeaseRows } from "./leases.ts";
export type { NodeRows } from "./nodes.ts";
export type { Identity, UserRecord, UserRows } from "./people.ts";
export type { SessionRecord, SessionRows } from "./person-sessions.ts";
export type { Admission, OwnerUsage, QuotaLimits, QuotaRows } from "./quotas.ts";
export type { EndedPortRows, SandboxPortRecord, SandboxPortRows } from "./sandbox-ports.ts";
export type { DeliveryQuery, DeliveryRecord, DeliveryRows } from "./webhook-deliveries.ts";
export type {
  AttemptOutcome,
  Busy,
  ClaimedDelivery,
  EventRange,
  WebhookQueue,
} from "./webhook-queue.ts";
export type { WebhookChanges, WebhookRecord, WebhookRows } from "./webhooks.ts";
export type { SandboxChanges, SandboxRecord, SandboxRows } from "./sandboxes.ts";
export type { MountedVolume, VolumeRecord, VolumeRows } from "./volumes.ts";
export {
  isMeasured,
  type MeteredSandbox,
  type SandboxCounts,
  type Usage,
  type UsageRows,
  type UsageSample,
} from "./usage.ts";
