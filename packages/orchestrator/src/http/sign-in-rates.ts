import { InsienError } from "@insien/protocol";
import type { DoorLimits } from "./door-limits.ts";
import { TokenBuckets } from "./token-buckets.ts";

/**
 * How often one address may try to sign in, and how often one account may be tried. An address from
 * which an account was signed in to before is not held up by what strangers try on that account.
 */
export class SignInRates {
  readonly #addresses: TokenBuckets;
  readonly #accounts: TokenBuckets;
  readonly #failures: TokenBuckets;
  readonly #familiar = new Set<string>();
  readonly #maxFamiliar: number;

  constructor(limits: DoorLimits) {
    this.#addresses = new TokenBuckets(limits.signInsPerMinute, limits.rateBuckets);
    this.#accounts = new TokenBuckets(limits.signInsPerAccountPerMinute, limits.rateBuckets);
    this.#failures = new TokenBuckets(limits.failedSignInsPerMinute, limits.rateBuckets);
    this.#maxFamiliar = limits.rateBuckets;
  }

  /** Throws `rate_limited`; whether there is such an account plays no part. */
  admit(address: string, account?: string): void {
    refuseAfter(this.#addresses.take(address), "This address tried too often to sign in");
    if (account === undefined) return;
    const familiar = pairOf(address, account);
    const caller = this.#familiar.has(familiar) ? familiar : account.toLowerCase();
    refuseAfter(this.#accounts.take(caller), "This account was tried too often to sign in");
  }

  /** Runs what needs a right refresh token; an address that sent too many wrong ones waits. */
  async withToken<Value>(address: string, work: () => Promise<Value>): Promise<Value> {
    refuseAfter(this.#failures.secondsToWait(address), "This address sent too many wrong tokens");
    try {
      return await work();
    } catch (error) {
      if (error instanceof InsienError && error.code === "session_expired")
        this.#failures.take(address);
      throw error;
    }
  }

  signedIn(address: string, account: string): void {
    if (this.#familiar.size >= this.#maxFamiliar) this.#familiar.clear();
    this.#familiar.add(pairOf(address, account));
  }
}

const pairOf = (address: string, account: string): string => `${address} ${account.toLowerCase()}`;

function refuseAfter(seconds: number | undefined, what: string): void {
  if (seconds === undefined) return;
  const message = `${what}; it may try again in ${seconds} s`;
  throw new InsienError("rate_limited", message, { details: { retryAfterSeconds: seconds } });
}
