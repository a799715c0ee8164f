/**
 * One token bucket per caller: `perMinute` at once, refilled evenly. Bounded: the caller that was
 * silent longest is forgotten first, which at worst gives it a full bucket again.
 */
interface Bucket {
  tokens: number;
  atMs: number;
}

export class TokenBuckets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #perMinute: number;
  readonly #maxCallers: number;

  constructor(perMinute: number, maxCallers: number) {
    this.#perMinute = perMinute;
    this.#maxCallers = maxCallers;
  }

  /** Takes one token. `undefined` when there was one, else the whole seconds until there is. */
  take(caller: string): number | undefined {
    const bucket = this.#refilled(caller);
    if (bucket.tokens < 1) return this.#secondsUntilNext(bucket);
    bucket.tokens -= 1;
    return undefined;
  }

  /** As `take`, taking nothing. */
  secondsToWait(caller: string): number | undefined {
    if (!this.#buckets.has(caller)) return undefined;
    const bucket = this.#refilled(caller);
    return bucket.tokens < 1 ? this.#secondsUntilNext(bucket) : undefined;
  }

  #secondsUntilNext(bucket: Bucket): number {
    return Math.max(1, Math.ceil(((1 - bucket.tokens) * 60) / this.#perMinute));
  }

  #refilled(caller: string): Bucket {
    const nowMs = performance.now();
    const bucket = this.#buckets.get(caller) ?? { tokens: this.#perMinute, atMs: nowMs };
    const earned = ((nowMs - bucket.atMs) * this.#perMinute) / 60_000;
    bucket.tokens = Math.min(this.#perMinute, bucket.tokens + earned);
    bucket.atMs = nowMs;
    // A Map iterates in order of insertion, so putting a caller back makes the first the most idle.
    this.#buckets.delete(caller);
    this.#buckets.set(caller, bucket);
    if (this.#buckets.size > this.#maxCallers) this.#forgetMostIdle();
    return bucket;
  }

  #forgetMostIdle(): void {
    const first = this.#buckets.keys().next();
    if (first.done !== true) this.#buckets.delete(first.value);
  }
}
