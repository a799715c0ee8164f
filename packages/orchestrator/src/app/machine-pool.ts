import type { MachineLimits, PreparedTemplate } from "@insien/runtime";
import type { Logger } from "pino";
import type { LiveMachine, MachineFactory } from "./machine-factory.ts";

export interface PoolTarget {
  template: PreparedTemplate;
  limits: MachineLimits;
  /** Warm machines to have ready. */
  size: number;
}

interface Pool extends PoolTarget {
  ready: LiveMachine[];
  filling: number;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * A claim is usually followed by its first command; a refill that starts in the same moment would
 * compete with it for the processor. A pool that is drained does not wait.
 */
const QUIET_MS = 150;
const RETRY_MS_MAX = 30_000;

/**
 * Warm machines per template: booted, agent on its line, nobody's yet. A claim takes one in memory
 * and its sandbox's name, environment and limits are bound afterwards.
 */
export class MachinePool implements AsyncDisposable {
  readonly #factory: MachineFactory;
  readonly #log: Logger;
  readonly #pools = new Map<string, Pool>();
  readonly #parallelRefills: number;
  readonly #maximum: number;
  /** Fills and removals that are under way, which a close waits for. */
  readonly #work = new Set<Promise<void>>();
  #closed = false;

  /** `maximum` bounds the warm machines of all templates together. */
  constructor(
    factory: MachineFactory,
    options: { parallelRefills: number; maximum: number; log: Logger },
  ) {
    this.#factory = factory;
    this.#log = options.log;
    this.#parallelRefills = options.parallelRefills;
    this.#maximum = options.maximum;
  }

  /**
   * Sets or changes what a template's pool should hold; machines of an older fingerprint go. With
   * `fill: false` it takes what is offered and makes none itself, until a claim or the next call.
   */
  setTarget(target: PoolTarget, options: { fill?: boolean } = {}): void {
    const name = target.template.name;
    // One object for as long as there is the template: fills and warm machines refer to it.
    const pool: Pool = Object.assign(
      this.#pools.get(name) ?? { ready: [], filling: 0, failures: 0, timer: undefined },
      target,
    );
    this.#pools.set(name, pool);
    const outdated = pool.ready.filter(
      (machine) => machine.template.fingerprint !== target.template.fingerprint,
    );
    pool.ready = pool.ready.filter((machine) => !outdated.includes(machine));
    for (const machine of outdated) this.#discard(machine, "The template changed");
    if (options.fill !== false) this.#refill(pool);
  }

  /** A warm machine of exactly this template, or `undefined`. */
  claim(template: PreparedTemplate): LiveMachine | undefined {
    const pool = this.#pools.get(template.name);
    if (pool === undefined || pool.template.fingerprint !== template.fingerprint) return undefined;
    for (;;) {
      const machine = pool.ready.shift();
      if (machine === undefined) break;
      if (machine.line.isUp) {
        this.#refillLater(pool);
        return machine;
      }
      this.#discard(machine, "The warm machine's agent went away");
    }
    this.#refill(pool);
    return undefined;
  }

  /** Takes over a warm machine that an earlier process made. `false` when it is not wanted. */
  adopt(machine: LiveMachine): boolean {
    const pool = this.#pools.get(machine.template.name);
    if (pool === undefined || this.#closed) return false;
    if (pool.template.fingerprint !== machine.template.fingerprint) return false;
    if (pool.ready.length + pool.filling >= pool.size) return false;
    this.#add(pool, machine);
    return true;
  }

  has(machineId: string): boolean {
    return [...this.#pools.values()].some((pool) =>
      pool.ready.some((machine) => machine.machineId === machineId),
    );
  }

  get sizes(): Record<string, { ready: number; filling: number; size: number }> {
    return Object.fromEntries(
      [...this.#pools].map(([name, pool]) => [
        name,
        { ready: pool.ready.length, filling: pool.filling, size: pool.size },
      ]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const machines = [...this.#pools.values()].flatMap((pool) => {
      clearTimeout(pool.timer);
      return pool.ready.splice(0);
    });
    for (const machine of machines) this.#discard(machine, "The pool is closing");
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }

  #refillLater(pool: Pool): void {
    if (pool.ready.length === 0) {
      this.#refill(pool);
      return;
    }
    clearTimeout(pool.timer);
    pool.timer = setTimeout(() => this.#refill(pool), QUIET_MS);
  }

  #refill(pool: Pool): void {
    clearTimeout(pool.timer);
    while (
      !this.#closed &&
      pool.filling < this.#parallelRefills &&
      pool.ready.length + pool.filling < pool.size &&
      this.#total() < this.#maximum
    ) {
      this.#track(this.#addOne(pool));
    }
  }

  #total(): number {
    return [...this.#pools.values()].reduce(
      (sum, pool) => sum + pool.ready.length + pool.filling,
      0,
    );
  }

  async #addOne(pool: Pool): Promise<void> {
    pool.filling += 1;
    const { template, limits } = pool;
    try {
      const machine = await this.#factory.create(
        { template, limits, network: "none" },
        { purpose: "pool" },
      );
      pool.failures = 0;
      pool.filling -= 1;
      if (this.#closed || pool.template.fingerprint !== template.fingerprint)
        this.#discard(machine, "No longer wanted");
      else this.#add(pool, machine);
      this.#refill(pool);
    } catch (error) {
      pool.filling -= 1;
      pool.failures += 1;
      const waitMs = Math.min(RETRY_MS_MAX, 500 * 2 ** pool.failures);
      this.#log.warn(
        { err: error, template: template.name, waitMs },
        "a warm machine could not be made; trying again later",
      );
      clearTimeout(pool.timer);
      if (!this.#closed) pool.timer = setTimeout(() => this.#refill(pool), waitMs);
    }
  }

  #add(pool: Pool, machine: LiveMachine): void {
    pool.ready.push(machine);
    machine.line.once("down", () => {
      const index = pool.ready.indexOf(machine);
      if (index < 0) return;
      pool.ready.splice(index, 1);
      this.#discard(machine, "The warm machine's agent went away");
      this.#refillLater(pool);
    });
  }

  #discard(machine: LiveMachine, reason: string): void {
    const removal = this.#factory.destroy(machine.machineId, reason).then(
      () => undefined,
      (error: unknown) => {
        // The reconciler finds it again: it belongs to nobody.
        this.#log.warn(
          { err: error, machineId: machine.machineId },
          "a warm machine could not be removed",
        );
      },
    );
    this.#track(removal);
  }
}
