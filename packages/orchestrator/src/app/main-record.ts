import { type AgentEvent, InsienError, type MainStatus, type SandboxId } from "@insien/protocol";
import type { Logger } from "pino";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import { mainStatusOf, ofStoppedMachine } from "./main-event.ts";

/**
 * Longer than events wait to be written: after a crash in between, an agent that says how things are
 * says news, and what happened is recorded twice rather than not at all.
 */
const FLUSH_MS = 500;
/** However often main commands come and go, this is how often it is written, for all of them at once. */
const PAUSE_MS = 1_000;
/** A sandbox whose row is still being written is tried again; one that has none is given up. */
const ATTEMPTS = 5;

interface Unwritten {
  status: MainStatus;
  attempts: number;
}

/** What the main commands of this node's sandboxes do, by their agents' last words. */
export class MainRecord implements AsyncDisposable {
  readonly #rows: Pick<SandboxRows, "noteMain">;
  readonly #log: Logger;
  readonly #known = new Map<SandboxId, MainStatus>();
  /** To be forgotten once written: their machines do not run. */
  readonly #ended = new Set<SandboxId>();
  #unwritten = new Map<SandboxId, Unwritten>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #writtenAt = 0;

  constructor(rows: Pick<SandboxRows, "noteMain">, log: Logger) {
    this.#rows = rows;
    this.#log = log;
  }

  /** The new status; `undefined` when the agent says nothing of it, or what was known already. */
  note(row: Pick<SandboxRecord, "id" | "main">, event: AgentEvent): MainStatus | undefined {
    const status = mainStatusOf(event);
    const before = this.get(row);
    // An agent that is heard again says how things are, whether that is news or not.
    const isKnown =
      before?.state === status?.state &&
      before?.restarts === status?.restarts &&
      before?.changed_at === status?.changed_at;
    if (status === undefined || isKnown) return undefined;
    this.#ended.delete(row.id);
    this.#set(row.id, status);
    return status;
  }

  get(row: Pick<SandboxRecord, "id" | "main">): MainStatus | undefined {
    return this.#known.get(row.id) ?? row.main;
  }

  /** Its machine does not run any more, and so neither does the main command. */
  ended(row: Pick<SandboxRecord, "id" | "main">): void {
    const status = this.get(row);
    if (status === undefined) return;
    this.#ended.add(row.id);
    this.#set(row.id, ofStoppedMachine(status, new Date()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flush();
    await this.#writing;
    clearTimeout(this.#timer);
  }

  #set(id: SandboxId, status: MainStatus): void {
    this.#known.set(id, status);
    this.#unwritten.set(id, { status, attempts: 0 });
    this.#flushLater();
  }

  #flushLater(): void {
    const sinceMs = performance.now() - this.#writtenAt;
    this.#timer ??= setTimeout(() => this.#flush(), Math.max(FLUSH_MS, PAUSE_MS - sinceMs));
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#unwritten;
    if (batch.size === 0) return;
    this.#unwritten = new Map();
    this.#writtenAt = performance.now();
    this.#writing = this.#writing.then(() => this.#write(batch));
  }

  async #write(batch: Map<SandboxId, Unwritten>): Promise<void> {
    const left = new Map(batch);
    let isAway = false;
    try {
      const statuses = new Map([...batch].map(([id, { status }]) => [id, status] as const));
      for (const id of await this.#rows.noteMain(statuses)) left.delete(id);
    } catch (error) {
      isAway = error instanceof InsienError && error.code === "database_unavailable";
      this.#log.warn({ err: error, waiting: batch.size }, "what main commands do was not written");
    }
    for (const [id, { status, attempts }] of batch) {
      if (this.#unwritten.has(id)) continue;
      if (left.has(id) && (isAway || attempts + 1 < ATTEMPTS)) {
        this.#unwritten.set(id, { status, attempts: isAway ? attempts : attempts + 1 });
        this.#flushLater();
      } else if (this.#ended.delete(id)) this.#known.delete(id);
    }
  }
}
