export type { ApiKeyRecord, ApiKeyRows } from "./api-keys.ts";
export { openDatabase, type Database, type DatabaseOptions } from "./database.ts";
export type { EventRows, NewEvent } from "./events.ts";
export type { NodeRows } from "./nodes.ts";
export type { SandboxChanges, SandboxRecord, SandboxRows } from "./sandboxes.ts";
