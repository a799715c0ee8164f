export { Sandbox, type SandboxOptions } from "./sandbox.ts";
export {
  SandboxClient,
  type CallOptions,
  type SandboxClientOptions,
  type StreamCommandOptions,
} from "./sandbox-client.ts";
export type { SandboxInfo, SandboxSettings } from "./sandbox-info.ts";
export type {
  EventsOptions,
  ListSandboxesOptions,
  SandboxEvent,
  SandboxTimeouts,
  StopOptions,
} from "./sandbox-api.ts";
export type { CreateProgress } from "./create-progress.ts";
export {
  parseCreateSandboxRequest,
  type BuildFile,
  type CommandLine,
  type CreateSandboxRequest,
} from "./models/create-sandbox-request.ts";
export { parsePortConfig, type PortConfig } from "./models/port-config.ts";
export { parseResourceConfig, type ResourceConfig } from "./models/resource-config.ts";
export { parseVolumeConfig, type VolumeConfig } from "./models/volume-config.ts";
export type { ApiKey, CreatedKey, Keys, KeySettings } from "./account/keys.ts";
export type {
  CleanupItem,
  CleanupOptions,
  CleanupReport,
  Maintenance,
} from "./account/maintenance.ts";
export type { Quota, QuotaInfo, QuotaSettings } from "./account/quota.ts";
export type { NfsOptions, VolumeRequest, Volumes } from "./account/volumes.ts";
export {
  verifyWebhook,
  type VerifyWebhookOptions,
  type WebhookEvent,
  type WebhookHeaders,
} from "./account/webhook-signature.ts";
export type {
  CreatedWebhook,
  DeliveriesOptions,
  Webhook,
  WebhookChange,
  WebhookDelivery,
  Webhooks,
  WebhookSettings,
} from "./account/webhooks.ts";
export type { ExecOptions, ExecutedCommand } from "./commands/exec.ts";
export type { CommandEnd, OutputLine } from "./commands/line-stream.ts";
export type { ArchiveOptions, UnpackOptions } from "./files/archives.ts";
export type { LinkOptions, PortLink, PublishedPort } from "./ports/published-ports.ts";
export type { Entrypoint, EntrypointChange, EntrypointState } from "./settings/entrypoint.ts";
export type {
  Environment,
  EnvironmentState,
  UpdateEnvironmentOptions,
} from "./settings/environment.ts";
export type { LogLine, LogOptions } from "./settings/logs.ts";
export type { MainCommand } from "./settings/main-command.ts";
export type { MainStatus } from "./settings/main-status.ts";
export type { UsageHistory, UsageOptions, UsageSample } from "./usage.ts";
export type { MountOptions, SandboxVolumes } from "./volumes/sandbox-volumes.ts";
export type { VolumeFile } from "./volumes/volume-files.ts";
export type { MountChange, VolumeInfo, VolumeMount } from "./volumes/volume-info.ts";
export type { ConnectionOptions, RequestOptions } from "./configuration.ts";
export type {
  AttachOptions,
  Command,
  CommandOptions,
  Commands,
  RunOptions,
  StartOptions,
} from "./commands/commands.ts";
export type { CommandHandle } from "./commands/command-handle.ts";
export type { CommandResult, OutputGap, OutputName } from "./commands/command-result.ts";
export type { OutputChunk } from "./commands/output-buffer.ts";
export type { OutputStream } from "./commands/output-stream.ts";
export type {
  FileContent,
  Files,
  ListOptions,
  PlaceOptions,
  ReadOptions,
  SearchOptions,
  WriteOptions,
} from "./files/files.ts";
export type { ByteRange } from "./files/file-transfer.ts";
export type { FileEvent, WatchHandle, WatchOptions } from "./files/watch-handle.ts";
export type { TerminalOptions, Terminals } from "./terminals/terminals.ts";
export type {
  TerminalEnd,
  TerminalHandle,
  TerminalListeners,
} from "./terminals/terminal-handle.ts";
export type { Ports } from "./ports/ports.ts";
export type { PortConnection } from "./ports/port-connection.ts";
export {
  SandboxConnectionError,
  SandboxError,
  SandboxNotFoundError,
  SandboxOperationError,
  SandboxTimeoutError,
  SandboxValidationError,
  SandboxVolumeError,
} from "./errors.ts";
export type {
  ErrorCode,
  FileInfo,
  Metrics,
  PortInfo,
  ProcessInfo,
  SandboxState,
  SearchMatch,
  TerminalInfo,
} from "@insien/protocol";
