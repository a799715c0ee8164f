import { InsienError, LIMITS, QUOTA_NAMES, type QuotaName } from "@insien/protocol";
import type { Admission, OwnerUsage, QuotaLimits, QuotaRows } from "../db/index.ts";
import type { Principal } from "./principal.ts";
import { type QuotaBounds, type Wanted, assertWithin } from "./quota-rules.ts";

export type { QuotaLimits } from "../db/index.ts";

/** Of one owner: the bounds that hold (`undefined`: none), and what counts against them. */
export interface QuotaStanding {
  ownerId: string;
  bounds: QuotaBounds;
  used: OwnerUsage["used"];
}

/** All throw `InsienError`; but for the caller's own, `forbidden` for who is no administrator. */
export interface Quotas {
  own(principal: Principal): Promise<QuotaStanding>;
  get(principal: Principal, ownerId: string): Promise<QuotaStanding>;
  /** Replaces what was set for the owner; a quota left out is the server's default. */
  set(principal: Principal, ownerId: string, limits: QuotaLimits): Promise<QuotaStanding>;
  /** Back to the server's defaults. `false` when they held already. */
  clear(principal: Principal, ownerId: string): Promise<boolean>;
}

interface Known {
  bounds: QuotaBounds;
  freshUntil: number;
}

/** What each owner may have: the server's defaults, or what an administrator set. */
export class OwnerQuotas implements Quotas {
  readonly #rows: QuotaRows;
  readonly #defaults: QuotaBounds;
  /** By owner, the one looked up longest ago first. */
  readonly #known = new Map<string, Known>();
  /** Grows with each change, so that an answer from before it is not remembered. */
  #changes = 0;

  constructor(rows: QuotaRows, defaults: QuotaBounds) {
    this.#rows = rows;
    this.#defaults = defaults;
  }

  own(principal: Principal): Promise<QuotaStanding> {
    return this.#standing(principal.ownerId);
  }

  async get(principal: Principal, ownerId: string): Promise<QuotaStanding> {
    requireAdmin(principal);
    return this.#standing(ownerId);
  }

  async set(principal: Principal, ownerId: string, limits: QuotaLimits): Promise<QuotaStanding> {
    requireAdmin(principal);
    await this.#rows.put(ownerId, limits);
    this.#forget(ownerId);
    return this.#standing(ownerId);
  }

  async clear(principal: Principal, ownerId: string): Promise<boolean> {
    requireAdmin(principal);
    const removed = await this.#rows.remove(ownerId);
    this.#forget(ownerId);
    return removed;
  }

  /** Decides about what an owner wants more; `undefined` when nothing bounds that. */
  async admission(ownerId: string, wanted: Wanted): Promise<Admission | undefined> {
    const bounds = await this.#boundsOf(ownerId);
    const isBounded = QUOTA_NAMES.some(
      (quota) => bounds[quota] !== undefined && wanted[quota] !== undefined,
    );
    return isBounded ? (usage) => assertWithin(bounds, usage, wanted) : undefined;
  }

  /** Throws when it is clear already that the owner will not be given more: before anything is made. */
  async assertRoom(ownerId: string, wanted: Wanted): Promise<void> {
    const admit = await this.admission(ownerId, wanted);
    admit?.(await this.#rows.usage(ownerId));
  }

  async #standing(ownerId: string): Promise<QuotaStanding> {
    const [bounds, { used }] = await Promise.all([this.#read(ownerId), this.#rows.usage(ownerId)]);
    return { ownerId, bounds, used };
  }

  async #boundsOf(ownerId: string): Promise<QuotaBounds> {
    const known = this.#known.get(ownerId);
    if (known !== undefined && known.freshUntil > performance.now()) return known.bounds;
    const changes = this.#changes;
    const bounds = await this.#read(ownerId);
    if (changes === this.#changes) this.#remember(ownerId, bounds);
    return bounds;
  }

  async #read(ownerId: string): Promise<QuotaBounds> {
    const limits = await this.#rows.get(ownerId);
    return limits === undefined ? this.#defaults : boundsFrom(this.#defaults, limits);
  }

  #remember(ownerId: string, bounds: QuotaBounds): void {
    this.#known.delete(ownerId);
    this.#known.set(ownerId, { bounds, freshUntil: performance.now() + LIMITS.quotaCacheMs.value });
    const [oldest] = this.#known.keys();
    if (this.#known.size > LIMITS.quotaCacheEntries.value && oldest !== undefined)
      this.#known.delete(oldest);
  }

  #forget(ownerId: string): void {
    this.#changes += 1;
    this.#known.delete(ownerId);
  }
}

function boundsFrom(defaults: QuotaBounds, limits: QuotaLimits): QuotaBounds {
  const entries = QUOTA_NAMES.flatMap((quota): [QuotaName, number][] => {
    const own = limits[quota];
    const bound = own === undefined ? defaults[quota] : own;
    return bound === undefined || bound === null ? [] : [[quota, bound]];
  });
  return Object.fromEntries(entries);
}

function requireAdmin(principal: Principal): void {
  if (!principal.admin)
    throw new InsienError(
      "forbidden",
      "Only an administrator's key may see or set the quotas of owners; GET /api/v1/quota shows your own",
    );
}
