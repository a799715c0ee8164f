import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { API_KEY_PREFIX, InsienError, WEBSOCKET_KEY_PREFIX } from "@insien/protocol";
import type { Callers } from "../app/callers.ts";
import type { Principal } from "../app/principal.ts";
import { looksLikeAccess } from "../app/session-tokens.ts";
import type { DoorLimits } from "./door-limits.ts";
import { TokenBuckets } from "./token-buckets.ts";

/** The key or access token of a plain request: `X-API-Key`, or `Authorization: Bearer`. */
export function keyFromHeaders(headers: IncomingHttpHeaders): string | undefined {
  const header = headers["x-api-key"];
  if (typeof header === "string" && header !== "") return header;
  const bearer = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "");
  return bearer?.[1];
}

/** What a WebSocket offered in `Sec-WebSocket-Protocol`, the key taken out of it. */
export interface OfferedProtocols {
  key: string | undefined;
  /** The offer that carried the key, as it was written. */
  keyProtocol: string | undefined;
  others: string[];
}

export function offeredProtocols(headers: IncomingHttpHeaders): OfferedProtocols {
  const all = (headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
  const keyProtocol = all.find((name) => name.startsWith(WEBSOCKET_KEY_PREFIX));
  const others = all.filter((name) => name !== "" && !name.startsWith(WEBSOCKET_KEY_PREFIX));
  return { key: decodeKey(keyProtocol?.slice(WEBSOCKET_KEY_PREFIX.length)), keyProtocol, others };
}

function decodeKey(text: string | undefined): string | undefined {
  if (text === undefined || text === "") return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Turns keys into principals and keeps two rates: requests per key, and wrong keys per address. An
 * address that used up its wrong keys is refused before the database is asked, except with a key
 * that was right before: a stranger behind the same address cannot lock its neighbours out.
 */
export class Doorkeeper {
  readonly #callers: Pick<Callers, "authenticate">;
  readonly #requests: TokenBuckets;
  readonly #failures: TokenBuckets;
  readonly #knownGood = new Set<string>();
  readonly #maxKnownGood: number;
  readonly #strangeTokens: TokenBuckets;
  /** What visitors of programs showed and is nobody's here. */
  readonly #foreign = new Set<string>();

  constructor(callers: Pick<Callers, "authenticate">, limits: DoorLimits) {
    this.#callers = callers;
    this.#requests = new TokenBuckets(limits.requestsPerMinute, limits.rateBuckets);
    this.#failures = new TokenBuckets(limits.failedSignInsPerMinute, limits.rateBuckets);
    this.#maxKnownGood = limits.rateBuckets;
    this.#strangeTokens = new TokenBuckets(limits.programTokensPerMinute, limits.rateBuckets);
  }

  /** Throws `unauthorized`, `rate_limited`, or of a person `session_expired`, which counts as no guess. */
  async admit(key: string | undefined, address: string): Promise<Principal> {
    if (key === undefined) throw new InsienError("unauthorized", "This address needs an API key");
    const digest = createHash("sha256").update(key).digest("base64");
    if (!this.#knownGood.has(digest)) this.#refuseGuessers(address);
    const principal = await this.#callers.authenticate(key);
    if (principal === undefined) {
      this.#knownGood.delete(digest);
      this.#failures.take(address);
      throw new InsienError("unauthorized", "The API key is not valid");
    }
    this.#remember(digest);
    const seconds = this.#requests.take(principal.keyId);
    if (seconds !== undefined) throw rateLimited("This key sent too many requests", seconds);
    return principal;
  }

  /**
   * Whether a text is a key or a person's token, or looks as ours do: no program in a sandbox may be
   * shown it. Throws `rate_limited` for an address that tries many, which would be guessing, too.
   */
  async isOurs(text: string, address: string): Promise<boolean> {
    if (text.startsWith(API_KEY_PREFIX) || looksLikeAccess(text)) return true;
    const digest = createHash("sha256").update(text).digest("base64");
    if (this.#knownGood.has(digest)) return true;
    if (this.#foreign.has(digest)) return false;
    const seconds = this.#strangeTokens.take(address);
    if (seconds !== undefined)
      throw rateLimited("This address sent too many different tokens", seconds);
    const isKey = (await this.#callers.authenticate(text)) !== undefined;
    if (!isKey) {
      if (this.#foreign.size >= this.#maxKnownGood) this.#foreign.clear();
      this.#foreign.add(digest);
    } else this.#remember(digest);
    return isKey;
  }

  #refuseGuessers(address: string): void {
    const seconds = this.#failures.secondsToWait(address);
    if (seconds === undefined) return;
    throw rateLimited("This address sent too many wrong keys", seconds);
  }

  #remember(digest: string): void {
    if (this.#knownGood.size >= this.#maxKnownGood) this.#knownGood.clear();
    this.#knownGood.add(digest);
  }
}

function rateLimited(what: string, retryAfterSeconds: number): InsienError {
  const message = `${what}; it may try again in ${retryAfterSeconds} s`;
  return new InsienError("rate_limited", message, { details: { retryAfterSeconds } });
}
