export { Sandbox, type SandboxOptions } from "./sandbox.ts";
export type { SandboxInfo, SandboxSettings } from "./sandbox-info.ts";
export type {
  EventsOptions,
  ListSandboxesOptions,
  SandboxEvent,
  SandboxTimeouts,
} from "./sandbox-api.ts";
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
