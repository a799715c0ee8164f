import type { ServerResponse } from "node:http";
import { LIMITS, type AgentEvent } from "@insien/protocol";

export interface ActivityCounts {
  commands: number;
  terminals: number;
}

/** Tells the orchestrator what happens, on each `/control/events` that it holds open. */
export class Activity {
  readonly #hello: () => AgentEvent;
  readonly #counts: () => ActivityCounts;
  readonly #present: () => readonly AgentEvent[];
  readonly #listeners = new Set<ServerResponse>();
  #last: ActivityCounts = { commands: 0, terminals: 0 };

  /** `present`: what a newcomer has to know besides, such as the main command's state. */
  constructor(
    hello: () => AgentEvent,
    counts: () => ActivityCounts,
    present: () => readonly AgentEvent[],
  ) {
    this.#hello = hello;
    this.#counts = counts;
    this.#present = present;
  }

  stream(response: ServerResponse): void {
    response.writeHead(200, { "Content-Type": "application/x-ndjson" });
    this.#listeners.add(response);
    send(response, this.#hello());
    send(response, this.#activity());
    for (const event of this.#present()) send(response, event);
    const beat = (): void => send(response, { type: "heartbeat", at: new Date().toISOString() });
    const timer = setInterval(beat, LIMITS.lineHeartbeatMs.value);
    response.once("close", () => {
      clearInterval(timer);
      this.#listeners.delete(response);
    });
  }

  report(event: AgentEvent): void {
    for (const listener of this.#listeners) send(listener, event);
    this.changed();
  }

  /** To be called when the number of commands or terminals may be another. */
  changed(): void {
    const now = this.#counts();
    if (now.commands === this.#last.commands && now.terminals === this.#last.terminals) return;
    this.#last = now;
    for (const listener of this.#listeners) send(listener, this.#activity());
  }

  #activity(): AgentEvent {
    return { type: "activity", ...this.#counts(), at: new Date().toISOString() };
  }
}

/** A listener that does not read is cut off; it asks anew and then hears the present state. */
function send(response: ServerResponse, event: AgentEvent): void {
  response.write(`${JSON.stringify(event)}\n`);
  if (response.writableLength > LIMITS.sendBufferBytes.value) response.destroy();
}
