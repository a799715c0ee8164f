import type { AgentEvent, SandboxId } from "@insien/protocol";
import type { Logger } from "pino";
import type { EventRows, NewEvent } from "../db/index.ts";

/** Commands may start by the hundred in a second; what is recorded of them is written in batches. */
const FLUSH_MS = 200;
const PENDING_MAX = 10_000;
/** Arguments can be megabytes; the record keeps enough of them to tell commands apart. */
const ARGUMENT_CHARS = 256;
const ARGUMENTS_MAX = 32;

type ExecutionEvent = NewEvent & { sandboxId: SandboxId };

/** Writes what agents report of commands into the sandboxes' event streams. */
export class ExecutionRecord implements AsyncDisposable {
  readonly #events: EventRows;
  readonly #log: Logger;
  #pending: ExecutionEvent[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(events: EventRows, log: Logger) {
    this.#events = events;
    this.#log = log;
  }

  add(sandboxId: SandboxId, event: AgentEvent): void {
    const record = toRecord(sandboxId, event);
    if (record === undefined) return;
    if (this.#pending.length >= PENDING_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#pending.push(record);
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#flush();
    await this.#writing;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#pending.splice(0);
    if (batch.length === 0) return;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#events.appendAll(batch);
        if (this.#dropped > 0) this.#log.warn({ dropped: this.#dropped }, "execution records were dropped while the database was slow");
        this.#dropped = 0;
      } catch (error) {
        this.#log.warn({ err: error, waiting: batch.length }, "execution records could not be written; trying again");
        this.#pending.unshift(...batch.slice(0, PENDING_MAX - this.#pending.length));
        this.#timer ??= setTimeout(() => this.#flush(), 10 * FLUSH_MS);
      }
    });
  }
}

function toRecord(sandboxId: SandboxId, event: AgentEvent): ExecutionEvent | undefined {
  if (event.type === "started") {
    const command = event.command.slice(0, ARGUMENTS_MAX).map((argument) => argument.slice(0, ARGUMENT_CHARS));
    const { processId, cwd, user, background } = event;
    const data = { processId, command, cwd, user, background };
    return { sandboxId, type: "command.started", at: instant(event.at), data };
  }
  if (event.type === "ended") {
    const { type: _type, at, ...data } = event;
    return { sandboxId, type: "command.ended", at: instant(at), data };
  }
  return undefined;
}

/** The agent's clock is not trusted to be a time at all. */
function instant(text: string): Date {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? new Date() : at;
}
