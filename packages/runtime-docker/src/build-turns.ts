/** Whose turn it is to build. */
import { InsienError, LIMITS } from "@insien/protocol";

export interface BuildTurnsOptions {
  /** Of all owners. */
  atOnce: number;
  /** Under way and waiting. */
  perOwner: number;
}

interface Waiting {
  ownerId: string;
  start: () => void;
}

/**
 * Builds take the host's processors and disk: a few at once, in the order asked. An owner never has
 * the last place as well as all others, so that nobody keeps the rest from building.
 */
export class BuildTurns {
  readonly #options: BuildTurnsOptions;
  readonly #waiting: Waiting[] = [];
  readonly #running: string[] = [];

  constructor(
    options: BuildTurnsOptions = {
      atOnce: LIMITS.buildsAtOnce.value,
      perOwner: LIMITS.buildsPerOwner.value,
    },
  ) {
    this.#options = options;
  }

  /** Throws `rate_limited` when the owner has as many builds as may be. */
  async run<Answer>(
    ownerId: string,
    signal: AbortSignal,
    use: () => Promise<Answer>,
  ): Promise<Answer> {
    signal.throwIfAborted();
    const own = this.#runningOf(ownerId) + this.#waitingOf(ownerId);
    if (own >= this.#options.perOwner) {
      const message = `${own} of your builds are under way or wait, which is as many as may be`;
      throw new InsienError("rate_limited", message, { details: { retryAfterSeconds: 10 } });
    }
    await this.#turn(ownerId, signal);
    try {
      return await use();
    } finally {
      this.#running.splice(this.#running.indexOf(ownerId), 1);
      this.#startNext();
    }
  }

  async #turn(ownerId: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { ownerId, start: resolve };
    this.#waiting.push(waiting);
    const leave = () => {
      const place = this.#waiting.indexOf(waiting);
      if (place === -1) return;
      this.#waiting.splice(place, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", leave, { once: true });
    this.#startNext();
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #startNext(): void {
    const { atOnce } = this.#options;
    const most = Math.max(1, atOnce - 1);
    while (this.#running.length < atOnce) {
      const place = this.#waiting.findIndex(({ ownerId }) => this.#runningOf(ownerId) < most);
      const [next] = place === -1 ? [] : this.#waiting.splice(place, 1);
      if (next === undefined) return;
      this.#running.push(next.ownerId);
      next.start();
    }
  }

  #runningOf(ownerId: string): number {
    return this.#running.filter((one) => one === ownerId).length;
  }

  #waitingOf(ownerId: string): number {
    return this.#waiting.filter((one) => one.ownerId === ownerId).length;
  }
}
