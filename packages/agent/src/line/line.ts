import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import { LIMITS } from "@insien/protocol";

/** Dials once and resolves with the byte stream on which the roles are then turned round. */
export type Carrier = (signal: AbortSignal) => Promise<Duplex>;

const FIRST_PAUSE_MS = 20;

/**
 * Keeps `lineSpareConnections` parked. A connection counts as spare until its first request; then,
 * or when it is lost, another is dialled, for ever, with pauses that grow to `lineReconnectMs`.
 */
export class Line implements Disposable {
  readonly #carrier: Carrier;
  readonly #server: Server;
  readonly #spare = new Set<Duplex>();
  readonly #ended = new AbortController();
  #dialling = 0;
  #pauseMs = 0;
  #failing = false;

  constructor(carrier: Carrier, server: Server) {
    this.#carrier = carrier;
    this.#server = server;
    const used = ({ socket }: { socket: Duplex }): void => this.#used(socket);
    for (const event of ["request", "upgrade", "connect"]) server.on(event, used);
  }

  /** Dials as many as are missing. */
  open(): void {
    while (this.#spare.size + this.#dialling < LIMITS.lineSpareConnections.value) {
      // After a failure one dial at a time finds out whether the orchestrator is back.
      if (this.#failing && this.#dialling > 0) return;
      this.#dialling += 1;
      void this.#dial();
    }
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
    for (const stream of this.#spare) stream.destroy();
  }

  async #dial(): Promise<void> {
    try {
      const stream = await this.#carrier(this.#ended.signal);
      this.#failing = false;
      this.#pauseMs = 0;
      this.#park(stream);
    } catch {
      this.#failing = true;
      this.#pauseMs = Math.min(
        Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2),
        LIMITS.lineReconnectMs.value,
      );
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    }
    this.#dialling -= 1;
    if (!this.#ended.signal.aborted) this.open();
  }

  #park(stream: Duplex): void {
    this.#spare.add(stream);
    stream.once("close", () => this.#lost(stream));
    stream.on("error", () => stream.destroy());
    this.#server.emit("connection", stream);
    // A request that came right behind the answer waits in the stream, which the dial left paused.
    stream.resume();
  }

  #used(stream: Duplex): void {
    if (this.#spare.delete(stream)) this.open();
  }

  #lost(stream: Duplex): void {
    if (!this.#spare.delete(stream) || this.#ended.signal.aborted) return;
    // An orchestrator that accepts and hangs up at once must not be dialled in a tight circle.
    setTimeout(() => this.open(), FIRST_PAUSE_MS);
  }
}
