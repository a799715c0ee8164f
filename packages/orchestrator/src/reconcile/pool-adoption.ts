import type { Machine, MachineLimits, PreparedTemplate } from "@insien/runtime";
import type { MachineFactory } from "../app/machine-factory.ts";
import type { MachinePool } from "../app/machine-pool.ts";
import type { LineServer } from "../line/line-server.ts";

/** What the pool takes; nothing while the template is still being made ready, or for good. */
export type PoolWants =
  | { template: PreparedTemplate; limits: MachineLimits }
  | "nothing yet"
  | "nothing";

/** Gives warm machines that an earlier process left to the pool, or removes them. */
export class PoolAdoption {
  readonly #pool: MachinePool;
  readonly #factory: MachineFactory;
  readonly #lines: LineServer;
  readonly #wanted: () => PoolWants;

  constructor(
    pool: MachinePool,
    factory: MachineFactory,
    lines: LineServer,
    wanted: () => PoolWants,
  ) {
    this.#pool = pool;
    this.#factory = factory;
    this.#lines = lines;
    this.#wanted = wanted;
  }

  async offer(machine: Machine): Promise<void> {
    const { machineId } = machine;
    using _held = this.#factory.hold(machineId);
    const wanted = this.#wanted();
    if (wanted === "nothing yet") return;
    if (wanted !== "nothing" && wanted.template.fingerprint === machine.fingerprint) {
      const line = await this.#lines.open(machineId);
      const up = await this.#factory.waitReady(line).then(
        () => true,
        () => false,
      );
      if (up && this.#pool.adopt({ machineId, line, ...wanted })) return;
    }
    await this.#factory.destroy(machineId, "The pool has no use for it");
  }
}
