export type { ApiKeyRecord, ApiKeyRows } from "./api-keys.ts";
export { openDatabase, type Database, type DatabaseOptions } from "./database.ts";
export type { EventRecord, EventRows, NewEvent } from "./events.ts";
export type { InstallationRecord } from "./installation.ts";
export type { NodeRecord, NodeRows } from "./nodes.ts";
export type { SandboxChanges, SandboxPage, SandboxRecord, SandboxRows } from "./sandboxes.ts";
