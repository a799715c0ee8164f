import { type AgentEvent, InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import type { Logger } from "pino";
import type { EventRows } from "../db/index.ts";
import { type ExecutionEvent, executionEvent } from "./execution-event.ts";

/** Commands may start by the hundred in a second; what is recorded of them is written in batches. */
const FLUSH_MS = 200;
const PENDING_MAX = 10_000;
const MINUTE_MS = 60_000;

/** What one sandbox had recorded since the minute began. */
interface Share {
  recorded: number;
  left: number;
}

/** Writes what agents report of commands into the sandboxes' event streams. */
export class ExecutionRecord implements AsyncDisposable {
  readonly #events: EventRows;
  readonly #log: Logger;
  readonly #shares = new Map<SandboxId, Share>();
  readonly #minute: NodeJS.Timeout;
  #pending: ExecutionEvent[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(events: EventRows, log: Logger) {
    this.#events = events;
    this.#log = log;
    this.#minute = setInterval(() => this.#beginMinute(), MINUTE_MS).unref();
  }

  add(sandboxId: SandboxId, event: AgentEvent): void {
    const record = executionEvent(sandboxId, event);
    if (record !== undefined) this.addRecord(record);
  }

  addRecord(record: ExecutionEvent): void {
    const { sandboxId } = record;
    const share = this.#shares.get(sandboxId) ?? { recorded: 0, left: 0 };
    this.#shares.set(sandboxId, share);
    if (share.recorded >= LIMITS.recordedEventsPerMinute.value) share.left += 1;
    else {
      share.recorded += 1;
      this.#push(record);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#minute);
    this.#beginMinute();
    this.#flush();
    await this.#writing;
  }

  #push(record: ExecutionEvent): void {
    if (this.#pending.length >= PENDING_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#pending.push(record);
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** Says in the stream of events itself that some are missing, and how many. */
  #beginMinute(): void {
    for (const [sandboxId, { left }] of this.#shares) {
      if (left > 0) this.#push({ sandboxId, type: "command.unrecorded", data: { events: left } });
    }
    this.#shares.clear();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#pending.splice(0);
    if (batch.length > 0) this.#writing = this.#writing.then(() => this.#write(batch));
  }

  async #write(batch: ExecutionEvent[]): Promise<void> {
    try {
      await this.#events.appendAll(batch);
      if (this.#dropped > 0) {
        const dropped = this.#dropped;
        this.#log.warn({ dropped }, "execution records were dropped while the database was slow");
      }
      this.#dropped = 0;
    } catch (error) {
      const waiting = batch.length;
      // What the database refuses today it refuses tomorrow, and everyone's records behind it.
      if (!(error instanceof InsienError && error.code === "database_unavailable")) {
        this.#log.error({ err: error, waiting }, "execution records were refused and are lost");
        return;
      }
      this.#log.warn(
        { err: error, waiting },
        "execution records could not be written; trying again",
      );
      this.#pending.unshift(...batch.slice(0, PENDING_MAX - this.#pending.length));
      this.#timer ??= setTimeout(() => this.#flush(), 10 * FLUSH_MS);
    }
  }
}
