import type { Duplex } from "node:stream";
import { InsienError } from "@insien/protocol";
import { copyBytes } from "@insien/sockets";
import { asInsienError } from "../http/error-answer.ts";
import { CLOSE_CODES, closeFrame, closeReason } from "./close-frame.ts";
import { FrameBoundary } from "./frame-boundary.ts";

/** How long a client may take to read what is on its way to it once the conversation is over. */
export interface SpliceBounds {
  /** After an orderly end. */
  transferIdleMs: number;
  /** After a failure, or when the server stops. */
  closeMs: number;
}

/**
 * Joins a client's WebSocket to the agent's, byte for byte. Each side is paused while the other does
 * not drain, so a slow reader slows its writer and nothing piles up here. When the agent's side ends
 * without a close frame, the client is told why, as far as a whole frame can still be added.
 */
export class Splice {
  readonly #client: Duplex;
  readonly #agent: Duplex;
  readonly #lost: AbortSignal;
  readonly #bounds: SpliceBounds;
  readonly #boundary = new FrameBoundary();
  readonly #onLost = () => this.close(this.#lost.reason, CLOSE_CODES.internalError);
  #ended = false;
  /** Resolves when both sides are closed. */
  readonly done: Promise<void>;

  constructor(client: Duplex, agent: Duplex, lost: AbortSignal, bounds: SpliceBounds) {
    this.#client = client;
    this.#agent = agent;
    this.#lost = lost;
    this.#bounds = bounds;
    this.done = Promise.all([closed(client), closed(agent)]).then(() => undefined);
    copyBytes(client, agent);
    copyBytes(agent, client, { observe: (chunk) => this.#boundary.advance(chunk) });
    client.once("end", () => agent.end());
    client.once("close", () => this.#clientClosed());
    agent.once("end", () => this.#agentEnded());
    agent.once("close", () => this.#agentEnded());
    lost.addEventListener("abort", this.#onLost, { once: true });
    if (lost.aborted) this.#onLost();
  }

  /** Ends the conversation with a close frame that carries the error, or without where none fits. */
  close(reason: unknown, code: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lost.removeEventListener("abort", this.#onLost);
    this.#agent.destroy();
    if (!this.#boundary.atBoundary || !this.#client.writable) {
      this.#client.destroy();
      return;
    }
    const orderly = this.#boundary.closing;
    if (orderly) this.#client.end();
    else this.#client.end(closeFrame(code, closeReason(asInsienError(reason))));
    const boundMs = orderly ? this.#bounds.transferIdleMs : this.#bounds.closeMs;
    const farewell = setTimeout(() => this.#client.destroy(), boundMs);
    this.#client.once("close", () => clearTimeout(farewell));
    // The client's answer to the close frame has no reader any more; its end is all that matters.
    this.#client.resume();
  }

  #agentEnded(): void {
    const lost: unknown = this.#lost.reason;
    const reason = lost ?? new InsienError("connection_lost", "The sandbox's agent went away");
    this.close(reason, CLOSE_CODES.internalError);
  }

  #clientClosed(): void {
    this.#ended = true;
    this.#lost.removeEventListener("abort", this.#onLost);
    this.#agent.destroy();
  }
}

function closed(stream: Duplex): Promise<void> {
  return new Promise((resolve) => {
    if (stream.closed) resolve();
    else stream.once("close", () => resolve());
  });
}
