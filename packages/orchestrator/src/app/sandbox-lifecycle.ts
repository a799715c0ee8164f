import { setTimeout as sleep } from "node:timers/promises";
import {
  InsienError,
  LIMITS,
  type MachineId,
  type SandboxId,
  newSandboxId,
} from "@insien/protocol";
import type { Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import type { LineServer } from "../line/line-server.ts";
import { AllBelongings, type Belongings } from "./belongings.ts";
import { type CreateRequest, bindRequest, expiryOf, sameCreate } from "./create-request.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import { endOf } from "./machine-end.ts";
import type { MachineFactory } from "./machine-factory.ts";
import type { MachinePool } from "./machine-pool.ts";
import { type CreateOptions, SandboxCreation } from "./sandbox-creation.ts";
import { type Changes, SandboxMoves } from "./sandbox-moves.ts";
import { SandboxReach } from "./sandbox-reach.ts";
import type { TemplateCatalog } from "./template-catalog.ts";

/** An agent that does not dial again for this long, on a machine that claims to run, has hung. */
const AGENT_SILENCE_MS = 30_000;

export interface LifecycleParts {
  store: SandboxRows;
  runtime: Runtime;
  lines: LineServer;
  factory: MachineFactory;
  pool: MachinePool;
  templates: TemplateCatalog;
  /** What sandboxes have besides their machines. */
  belongings: readonly Belongings[];
  nodeId: string;
  log: Logger;
  /** For the metrics: how a create ended. */
  onCreate?(create: { isWarm: boolean; isMade: boolean; seconds: number }): void;
}

/**
 * What happens to a sandbox, whoever asked for it: a request, the clock or the reconciler. What
 * should be is written before it is done, and each step may be done twice without harm, so that the
 * reconciler can finish what a crash cut short. Changes to one sandbox are made one at a time here,
 * and are fenced by the row's version against other nodes.
 */
export class SandboxLifecycle {
  readonly #parts: LifecycleParts;
  readonly #live: LiveSandboxes;
  readonly #moves: SandboxMoves;
  readonly #belongings: AllBelongings;
  readonly #reach: SandboxReach;
  readonly #creation: SandboxCreation;
  readonly #mutex = new KeyedMutex<SandboxId>();
  /** Creates under way, by the id they will have: a caller who chose it may connect already. */
  readonly #creating = new Map<SandboxId, Promise<SandboxRecord>>();

  constructor(parts: LifecycleParts, live: LiveSandboxes) {
    this.#parts = parts;
    this.#moves = new SandboxMoves(parts.store, parts.nodeId);
    this.#live = live;
    this.#belongings = new AllBelongings(parts.belongings, parts.log);
    const known = { ...parts, live, moves: this.#moves, belongings: this.#belongings };
    this.#reach = new SandboxReach(known);
    this.#creation = new SandboxCreation({
      ...known,
      reach: this.#reach,
      examine: (machineId) => this.examine(machineId),
      giveUp: (id, error, options) => this.#giveUp(id, error, options),
    });
  }

  isBusy(id: SandboxId): boolean {
    return this.#mutex.isBusy(id);
  }

  async create(request: CreateRequest, options: CreateOptions = {}): Promise<SandboxRecord> {
    const id = request.id ?? newSandboxId();
    const known = this.#live.get(id)?.row ?? (await this.#creating.get(id));
    if (known !== undefined) return sameCreate(known, request);
    const created = this.#mutex.run(id, () => this.#creation.create(id, request, options));
    this.#creating.set(id, created);
    try {
      return await created;
    } catch (error) {
      // Only a caller who chooses ids can meet one that is taken.
      const taken =
        request.id === undefined
          ? undefined
          : await this.#parts.store.get(id).catch(() => undefined);
      const isFailed =
        taken?.state === "failed" || (taken?.state === "destroyed" && isRefusal(error));
      if (taken === undefined || isFailed) throw error;
      return sameCreate(taken, request);
    } finally {
      this.#creating.delete(id);
    }
  }

  /** The end of a create that is under way. */
  creating(id: SandboxId): Promise<unknown> | undefined {
    return this.#creating.get(id);
  }

  /** `false` when it was destroyed before, or somebody else's wish to destroy it came first. */
  destroy(id: SandboxId, reason?: string): Promise<boolean> {
    return this.#mutex.run(id, async () => {
      const changes = reason === undefined ? {} : { stateReason: reason };
      const { row, isMoved } = await this.#moves.move(id, "destroyRequested", changes);
      // Another node's machine is that node's to remove: it finds the row, at once or when it is back.
      const isOurs = row?.nodeId === this.#parts.nodeId;
      if (row?.state === "destroying" && isOurs) await this.#finishDestroy(row);
      return isMoved;
    });
  }

  finishDestroy(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state === "destroying") await this.#finishDestroy(row);
    });
  }

  stop(id: SandboxId, options: { graceMs?: number } = {}): Promise<SandboxRecord> {
    return this.#mutex.run(id, () => this.#stopLocked(id, options));
  }

  finishStop(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state === "stopping") await this.#finishStop(row, {});
    });
  }

  start(id: SandboxId): Promise<SandboxRecord> {
    return this.#mutex.run(id, () => this.#startLocked(id));
  }

  /**
   * Stops a sandbox and starts it again, as one act; one that is stopped already is only started. A
   * crash in between leaves it stopped.
   */
  restart(id: SandboxId, options: { graceMs?: number } = {}): Promise<SandboxRecord> {
    return this.#mutex.run(id, async () => {
      await this.#stopLocked(id, options);
      return this.#startLocked(id);
    });
  }

  /**
   * Does `work` on the machine while the sandbox is out of reach and its machine stopped, and starts
   * it again if it ran. What `work` throws is thrown once the sandbox is as it was before.
   */
  recreate<Value>(
    id: SandboxId,
    work: (row: SandboxRecord) => Promise<Value>,
    options: { graceMs?: number } = {},
  ): Promise<{ value: Value; row: SandboxRecord; restarted: boolean }> {
    return this.#mutex.run(id, async () => {
      const before = await this.#moves.ours(id);
      const stopped = await this.#stopLocked(id, options);
      const restarted = before?.state === "running";
      const [outcome] = await Promise.allSettled([this.#besideLine(stopped, work)]);
      const row = restarted ? await this.#startLocked(id) : stopped;
      if (outcome.status === "rejected") throw outcome.reason;
      return { value: outcome.value, row, restarted };
    });
  }

  /** A create or start that a crash cut short: its machine runs, so wait for the agent and go on. */
  finishCreate(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state !== "creating" || row.machineId === undefined) return;
      try {
        await this.#reach.enter(row, await this.#parts.lines.open(row.machineId));
      } catch (error) {
        await this.#failLocked(id, `It could not be made: ${messageOf(error)}`);
      }
    });
  }

  /** Takes up a running sandbox of an earlier process: listens where its agent dials. */
  adopt(row: SandboxRecord): Promise<void> {
    return this.#mutex.run(row.id, async () => {
      if (row.machineId === undefined || this.#live.get(row.id) !== undefined) return;
      const line = await this.#parts.lines.open(row.machineId);
      // The crash may have come between the row and the binding; binding again does no harm.
      const bound = line
        .ready({ timeoutMs: AGENT_SILENCE_MS })
        .then(() => line.bind(bindRequest(row)));
      bound.catch((error: unknown) =>
        this.#parts.log.warn({ err: error, sandboxId: row.id }, "an agent did not come back"),
      );
      this.#live.add(row, line, bound);
      void this.examine(row.machineId);
      await this.#belongings.running(row);
    });
  }

  async extend(
    id: SandboxId,
    changes: { ttlSeconds?: number; idleTimeoutSeconds?: number },
  ): Promise<SandboxRecord> {
    return this.#mutex.run(id, async () => {
      const set: Changes = {};
      if (changes.ttlSeconds !== undefined) set.expiresAt = expiryOf(changes.ttlSeconds);
      if (changes.idleTimeoutSeconds !== undefined)
        set.idleTimeoutSeconds = changes.idleTimeoutSeconds;
      const row = await this.#moves.need(id, "extended", set);
      this.#live.refresh(row);
      this.#live.touch(id);
      return row;
    });
  }

  /**
   * Changes what commands and the main command are started with; what is written already stays so
   * when the agent cannot be told. Both may be done again without harm.
   */
  configure(id: SandboxId, changesOf: (row: SandboxRecord) => Changes): Promise<SandboxRecord> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.need(id, "configured", changesOf);
      this.#live.refresh(row);
      this.#live.touch(id);
      await this.#live.bindAgain(id, async (line) => {
        if (!line.isUp) await line.ready({ timeoutMs: LIMITS.lineTakeMs.value });
        await line.bind(bindRequest(row));
      });
      return row;
    });
  }

  fail(id: SandboxId, reason: string): Promise<void> {
    return this.#mutex.run(id, () => this.#failLocked(id, reason));
  }

  /** Clears away what is left of a failed sandbox. */
  finishFail(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state !== "failed" || row.machineId === undefined) return;
      await this.#parts.factory.destroy(row.machineId, row.stateReason ?? "The sandbox failed");
      await this.#belongings.ended(row);
      await this.#moves.cleared(row);
    });
  }

  /** Fails a sandbox on what a list once said, unless the row or the machine says otherwise by now. */
  failUnchanged(seen: SandboxRecord, reason: string): Promise<void> {
    return this.#mutex.run(seen.id, async () => {
      const row = await this.#parts.store.get(seen.id);
      if (row?.version !== seen.version) return;
      const machine =
        row.machineId === undefined ? undefined : await this.#parts.runtime.inspect(row.machineId);
      if (machine?.state === "running") return;
      await this.#failLocked(row.id, reason);
    });
  }

  /** Something is wrong with a machine: find out whether it lives, and fail its sandbox when not. */
  async examine(machineId: MachineId): Promise<void> {
    const line = this.#parts.lines.get(machineId);
    const startedAt = performance.now();
    while (line !== undefined && !line.isUp && !line.lost.aborted) {
      const id = this.#live.ofMachine(machineId);
      if (id === undefined || this.isBusy(id)) return;
      const silentMs = performance.now() - startedAt;
      const machine = await this.#parts.runtime.inspect(machineId).catch(() => "unknown" as const);
      if (machine !== "unknown" && machine?.state !== "running")
        return this.fail(id, endOf(machine));
      if (silentMs > AGENT_SILENCE_MS) {
        return this.fail(
          id,
          `The machine runs, but its agent has been silent for ${AGENT_SILENCE_MS / 1000} s`,
        );
      }
      await sleep(silentMs < LIMITS.machineLostMs.value ? 50 : 500);
    }
  }

  async #stopLocked(id: SandboxId, options: { graceMs?: number }): Promise<SandboxRecord> {
    const row = await this.#moves.need(id, "stopRequested");
    return row.state === "stopping" ? this.#finishStop(row, options) : row;
  }

  /** A machine that is made anew wants the directory of its line, which a stopped one has not. */
  async #besideLine<Value>(
    row: SandboxRecord,
    work: (row: SandboxRecord) => Promise<Value>,
  ): Promise<Value> {
    const { lines } = this.#parts;
    const { machineId } = row;
    if (machineId === undefined) return work(row);
    await lines.open(machineId);
    try {
      return await work(row);
    } finally {
      await lines.close(machineId, new InsienError("sandbox_state", "The sandbox was stopped"));
    }
  }

  async #startLocked(id: SandboxId): Promise<SandboxRecord> {
    const row = await this.#moves.need(id, "startRequested");
    if (row.state !== "creating" || row.machineId === undefined) return row;
    const line = await this.#parts.lines.open(row.machineId);
    try {
      await this.#parts.runtime.start(row.machineId);
      return await this.#reach.enter(row, line);
    } catch (error) {
      await this.#failLocked(id, `It could not be started: ${messageOf(error)}`);
      throw error;
    }
  }

  async #finishStop(row: SandboxRecord, options: { graceMs?: number }): Promise<SandboxRecord> {
    this.#reach.leave(row.id);
    if (row.machineId !== undefined) {
      await this.#parts.runtime.stop(row.machineId, options);
      await this.#parts.lines.close(
        row.machineId,
        new InsienError("sandbox_state", "The sandbox was stopped"),
      );
    }
    return this.#moves.need(row.id, "stopped");
  }

  async #finishDestroy(row: SandboxRecord): Promise<void> {
    // Those who are connected learn why before their connection breaks.
    this.#reach.leave(
      row.id,
      new InsienError("sandbox_not_found", `Sandbox ${row.id} was destroyed`),
    );
    if (row.machineId !== undefined)
      await this.#parts.factory.destroy(row.machineId, "The sandbox was destroyed");
    await this.#belongings.ended(row);
    await this.#moves.transition(row.id, "destroyed", { endedAt: new Date() });
  }

  /** Of a create that did not succeed; its machine is gone. */
  async #giveUp(
    id: SandboxId,
    error: unknown,
    { isPrepared }: { isPrepared: boolean },
  ): Promise<void> {
    const reason = `It could not be made: ${messageOf(error)}`;
    if (isPrepared || !isRefusal(error)) return this.#failLocked(id, reason);
    const row = await this.#moves.ours(id);
    if (row !== undefined) await this.#belongings.ended(row);
    await this.#moves.transition(id, "destroyed", { stateReason: reason, endedAt: new Date() });
  }

  async #failLocked(id: SandboxId, reason: string): Promise<void> {
    // Those who are connected learn it now; the database may take longer.
    this.#reach.leave(id, new InsienError("sandbox_failed", `The sandbox failed. ${reason}`));
    const changes = { stateReason: reason, endedAt: new Date() };
    const row = await this.#moves.transition(id, "machineLost", changes);
    if (row?.state !== "failed") return;
    this.finishFail(id).catch((error: unknown) => {
      // The reconciler tries again for as long as the row names a machine.
      const said = { err: error, sandboxId: id };
      this.#parts.log.warn(said, "what is left of a failed sandbox could not be removed");
    });
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** The caller's to mend, and nothing that befell the sandbox. */
const isRefusal = (error: unknown): boolean => error instanceof InsienError && error.status < 500;
