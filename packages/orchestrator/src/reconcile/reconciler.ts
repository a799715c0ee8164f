import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { LiveSandboxes } from "../app/live-sandboxes.ts";
import type { MachineFactory } from "../app/machine-factory.ts";
import type { MachinePool } from "../app/machine-pool.ts";
import type { SandboxLifecycle } from "../app/sandbox-lifecycle.ts";
import type { VolumeStorage } from "../app/volume-storage.ts";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import type { LineServer } from "../line/line-server.ts";
import { type Action, plan } from "./plan.ts";
import type { PoolAdoption } from "./pool-adoption.ts";

const ROUND_MS = 10_000;

export interface ReconcilerParts {
  store: SandboxRows;
  runtime: Runtime;
  lines: LineServer;
  factory: MachineFactory;
  pool: MachinePool;
  adoption: PoolAdoption;
  storage: VolumeStorage;
  lifecycle: SandboxLifecycle;
  live: LiveSandboxes;
  nodeId: string;
  log: Logger;
}

/**
 * Makes what is equal to what should be, every ten seconds and whenever the runtime reports a
 * machine's end. It takes no input but the database and the runtime, so a round that was missed,
 * repeated or cut short does no harm.
 */
export class Reconciler implements AsyncDisposable {
  readonly #parts: ReconcilerParts;
  readonly #stop = new AbortController();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
  }

  /** One round now: after it, every sandbox that runs is reachable. Then rounds go on by themselves. */
  async start(): Promise<void> {
    await this.round({ first: true });
    this.#loops = Promise.all([this.#rounds(), this.#watch()]);
  }

  async round(options: { first?: boolean } = {}): Promise<void> {
    const { store, runtime, nodeId, lifecycle, factory, pool, lines, live } = this.#parts;
    // Machines first: one made after this list is in flight or owned by the time rows are read.
    const machines = await runtime.list();
    const rows = await store.ofNode(nodeId);
    const byId = new Map(rows.map((row) => [row.id, row]));
    const actions = plan({
      wanted: rows,
      machines,
      isBusy: (id) => lifecycle.isBusy(id),
      // Claimed from the pool while the rows were on their way: in no row read, but somebody's.
      isInFlight: (machineId) =>
        factory.isInFlight(machineId) || live.ofMachine(machineId) !== undefined,
      isPooled: (machineId) => pool.has(machineId),
    });
    const carriedOut = actions.map((action) => this.#carryOut(action, byId));
    // What a start waits for is that everything that runs can be reached, not the tidying up.
    await (options.first === true
      ? Promise.all(carriedOut.filter((_, index) => actions[index]?.type === "adopt"))
      : Promise.all([...carriedOut, this.#parts.storage.settle()]));
    if (options.first === true) {
      await lines.removeStrays(new Set(machines.map((machine) => machine.machineId as string)));
    }
  }

  /** Takes down every warm machine that nobody claimed, also those of an earlier process. */
  async removeWarm(): Promise<void> {
    const { store, runtime, nodeId, factory, live } = this.#parts;
    const machines = await runtime.list();
    const owned = new Set((await store.ofNode(nodeId)).map((row) => row.machineId));
    const warm = machines.filter(
      ({ machineId, labels }) =>
        labels["purpose"] === "pool" &&
        !owned.has(machineId) &&
        live.ofMachine(machineId) === undefined,
    );
    await Promise.allSettled(
      warm.map(({ machineId }) => factory.destroy(machineId, "The server is stopping")),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loops;
  }

  async #rounds(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await sleep(ROUND_MS, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (this.#stop.signal.aborted) return;
      await this.round().catch((error: unknown) => {
        this.#parts.log.warn(
          { err: error },
          "a reconciliation round failed; the next one tries again",
        );
      });
    }
  }

  async #watch(): Promise<void> {
    const { runtime, lifecycle, live, log } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const event of runtime.watch({ signal })) {
          const id = live.ofMachine(event.machineId);
          if (id === undefined || lifecycle.isBusy(id)) continue;
          const reason =
            event.type === "exited"
              ? `The machine ended: ${event.reason}`
              : "The machine was removed from outside";
          lifecycle.fail(id, reason).catch((error: unknown) => {
            log.warn(
              { err: error, sandboxId: id },
              "a failure could not be recorded; the next round tries again",
            );
          });
        }
      } catch (error) {
        if (!signal.aborted)
          log.warn({ err: error }, "the runtime's events broke off; listening again");
      }
      await sleep(500, undefined, { signal }).catch(() => undefined);
    }
  }

  async #carryOut(action: Action, rows: ReadonlyMap<string, SandboxRecord>): Promise<void> {
    const { lifecycle, factory, adoption, log } = this.#parts;
    try {
      switch (action.type) {
        case "adopt": {
          const row = rows.get(action.id);
          if (row !== undefined) await lifecycle.adopt(row);
          return;
        }
        case "finishCreate":
          return await lifecycle.finishCreate(action.id);
        case "finishStop":
          return await lifecycle.finishStop(action.id);
        case "finishDestroy":
          return await lifecycle.finishDestroy(action.id);
        case "finishFail":
          return await lifecycle.finishFail(action.id);
        case "fail": {
          const row = rows.get(action.id);
          if (row !== undefined) await lifecycle.failUnchanged(row, action.reason);
          return;
        }
        case "offerToPool":
          return await adoption.offer(action.machine);
        case "removeMachine":
          log.info({ machineId: action.machineId, reason: action.reason }, "removing a machine");
          await factory.destroy(action.machineId, action.reason);
          return;
      }
    } catch (error) {
      log.warn(
        { err: error, action: action.type },
        "a reconciliation step failed; the next round tries again",
      );
    }
  }
}
