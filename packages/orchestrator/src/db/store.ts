import type { MachineId, SandboxId, SandboxState } from "@insien/protocol";
import type { Sandbox, SandboxEvent } from "../app/application.ts";

/** A sandbox as the database keeps it. */
export interface SandboxRow extends Sandbox {
  machineId: MachineId | undefined;
  /** The node whose runtime holds the machine. */
  nodeId: string;
  /** Grows by one with each change; a change made on an older version is fenced out. */
  version: number;
}

export type NewSandbox = Omit<SandboxRow, "version" | "createdAt" | "endedAt" | "lastActivityAt">;

export interface NewEvent {
  sandboxId: SandboxId;
  type: string;
  data: Record<string, unknown>;
}

type EventOfRow = Omit<NewEvent, "sandboxId">;

/** What the application asks of the database about sandboxes. Each is one round trip. */
export interface SandboxStore {
  /** Writes the row and its first event together. */
  insert(row: NewSandbox, event: EventOfRow): Promise<SandboxRow>;
  get(id: SandboxId): Promise<SandboxRow | undefined>;
  /** Newest first; a cursor that was tampered with throws `invalid_request`. Destroyed ones only when asked for by state. */
  list(ownerId: string, query: { state?: SandboxState; limit?: number; cursor?: string }): Promise<{ items: SandboxRow[]; nextCursor: string | undefined }>;
  /** Changes the row and appends the event, unless the row is no longer at `row.version`: then `undefined`. A key that is present with the value `undefined` sets NULL. */
  transition(row: SandboxRow, changes: Partial<Omit<SandboxRow, "id" | "ownerId" | "version" | "createdAt">>, event: EventOfRow): Promise<SandboxRow | undefined>;
  /** All rows of a node that are not destroyed. */
  ofNode(nodeId: string): Promise<SandboxRow[]>;
  touch(activity: readonly { id: SandboxId; at: Date }[]): Promise<void>;
  /** Ids of this node's sandboxes, in whatever state but destroying and destroyed, whose expiry has passed. */
  expired(nodeId: string, now: Date): Promise<SandboxId[]>;
  events(id: SandboxId, query: { after?: number; limit?: number }): Promise<SandboxEvent[]>;
  append(events: readonly NewEvent[]): Promise<void>;
  /** Forgets destroyed and failed sandboxes that ended before `before`, with their events. Gives how many. */
  purge(before: Date): Promise<number>;
}
