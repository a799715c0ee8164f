import { Agent as HttpAgent } from "node:http";
import type { Duplex } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";

interface Waiter {
  resolve(stream: Duplex): void;
  reject(error: unknown): void;
}

/** Connections that one agent has dialled and that nobody uses yet, and those who wait for one. */
export class ParkedConnections {
  readonly #parked: Duplex[] = [];
  readonly #waiters: Waiter[] = [];

  get count(): number {
    return this.#parked.length;
  }

  park(stream: Duplex): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve(stream);
      return;
    }
    if (this.#parked.length >= LIMITS.lineParkedConnections.value) {
      stream.destroy();
      return;
    }
    this.#parked.push(stream);
    const forget = () => {
      const index = this.#parked.indexOf(stream);
      if (index >= 0) this.#parked.splice(index, 1);
    };
    stream.once("close", forget);
    // An idle connection that breaks has no reader who would notice; `close` follows and suffices.
    stream.on("error", forget);
  }

  /** Rejects with `agent_unreachable` after `timeoutMs`. */
  take(options: { signal?: AbortSignal; timeoutMs?: number } = {}): Promise<Duplex> {
    options.signal?.throwIfAborted();
    for (;;) {
      // The newest first: it is the least likely to have been closed by the other side meanwhile.
      const stream = this.#parked.pop();
      if (stream === undefined) break;
      if (!stream.destroyed && stream.readable) return Promise.resolve(stream);
    }
    return this.#wait(options);
  }

  /** Ends all that is parked and refuses all that wait. */
  clear(error: unknown): void {
    for (const stream of this.#parked.splice(0)) stream.destroy();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  #wait(options: { signal?: AbortSignal; timeoutMs?: number }): Promise<Duplex> {
    const timeoutMs = options.timeoutMs ?? LIMITS.lineTakeMs.value;
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        options.signal?.removeEventListener("abort", abort);
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
      };
      const waiter: Waiter = {
        resolve: (stream) => {
          settle();
          resolve(stream);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const abort = () => waiter.reject(options.signal?.reason);
      const timer = setTimeout(() => {
        waiter.reject(
          new InsienError(
            "agent_unreachable",
            `The sandbox's agent gave no connection within ${timeoutMs} ms`,
          ),
        );
      }, timeoutMs);
      options.signal?.addEventListener("abort", abort, { once: true });
      this.#waiters.push(waiter);
    });
  }
}

/** Lets `http.request` run over parked connections, and keeps answered ones for the next request. */
export class ParkedHttpAgent extends HttpAgent {
  readonly #connections: ParkedConnections;

  constructor(connections: ParkedConnections) {
    super({ keepAlive: true, maxFreeSockets: 2 });
    this.#connections = connections;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connections.take().then(
      (stream) => callback?.(null, stream),
      // Node's typing wants a stream beside the error; none is read when there is an error.
      (error: unknown) => callback?.(error as Error, undefined as never),
    );
    return undefined;
  }
}
