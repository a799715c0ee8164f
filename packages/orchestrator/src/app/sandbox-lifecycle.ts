import { setTimeout as sleep } from "node:timers/promises";
import {
  InsienError,
  LIMITS,
  type MachineId,
  type SandboxId,
  newMachineId,
  newSandboxId,
} from "@insien/protocol";
import type { PreparedTemplate, Progress, Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import type { LineServer } from "../line/line-server.ts";
import type { MachineLine } from "../line/machine-line.ts";
import {
  type CreateRequest,
  bindRequest,
  expiryOf,
  newSandboxRow,
  sameCreate,
  sameLimits,
} from "./create-request.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import { endOf } from "./machine-end.ts";
import type { LiveMachine, MachineFactory } from "./machine-factory.ts";
import type { MachinePool } from "./machine-pool.ts";
import { type Changes, SandboxMoves } from "./sandbox-moves.ts";
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
  nodeId: string;
  log: Logger;
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
  readonly #mutex = new KeyedMutex<SandboxId>();
  /** Creates under way, by the id they will have: a caller who chose it may connect already. */
  readonly #creating = new Map<SandboxId, Promise<SandboxRecord>>();

  constructor(parts: LifecycleParts, live: LiveSandboxes) {
    this.#parts = parts;
    this.#moves = new SandboxMoves(parts.store, parts.nodeId);
    this.#live = live;
  }

  isBusy(id: SandboxId): boolean {
    return this.#mutex.isBusy(id);
  }

  async create(
    request: CreateRequest,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
  ): Promise<SandboxRecord> {
    const id = request.id ?? newSandboxId();
    const known = this.#live.get(id)?.row ?? (await this.#creating.get(id));
    if (known !== undefined) return sameCreate(known, request);
    const created = this.#mutex.run(id, async () => {
      const template = await this.#parts.templates.prepare(request, options);
      const warm = request.network === "none" ? this.#parts.pool.claim(template) : undefined;
      return warm === undefined
        ? this.#createCold(id, request, template, options)
        : this.#createWarm(id, request, warm);
    });
    this.#creating.set(id, created);
    try {
      return await created;
    } catch (error) {
      // Only a caller who chooses ids can meet one that is taken.
      const taken =
        request.id === undefined
          ? undefined
          : await this.#parts.store.get(id).catch(() => undefined);
      if (taken === undefined || taken.state === "failed") throw error;
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
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.need(id, "stopRequested");
      return row.state === "stopping" ? this.#finishStop(row, options) : row;
    });
  }

  finishStop(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state === "stopping") await this.#finishStop(row, {});
    });
  }

  start(id: SandboxId): Promise<SandboxRecord> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.need(id, "startRequested");
      if (row.state !== "creating" || row.machineId === undefined) return row;
      const line = await this.#parts.lines.open(row.machineId);
      try {
        await this.#parts.runtime.start(row.machineId);
        return await this.#becomeRunning(row, line);
      } catch (error) {
        await this.#failLocked(id, `It could not be started: ${messageOf(error)}`);
        throw error;
      }
    });
  }

  /** A create or start that a crash cut short: its machine runs, so wait for the agent and go on. */
  finishCreate(id: SandboxId): Promise<void> {
    return this.#mutex.run(id, async () => {
      const row = await this.#moves.ours(id);
      if (row?.state !== "creating" || row.machineId === undefined) return;
      try {
        await this.#becomeRunning(row, await this.#parts.lines.open(row.machineId));
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

  fail(id: SandboxId, reason: string): Promise<void> {
    return this.#mutex.run(id, () => this.#failLocked(id, reason));
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

  async #createWarm(
    id: SandboxId,
    request: CreateRequest,
    machine: LiveMachine,
  ): Promise<SandboxRecord> {
    const { machineId, line, template } = machine;
    using _held = this.#parts.factory.hold(machineId);
    const fresh = newSandboxRow(request, {
      ...this.#made(id, template, machineId),
      state: "running",
      startedAt: new Date(),
    });
    const bound = line.bind(bindRequest(fresh));
    bound.catch((error: unknown) => {
      this.#parts.log.warn({ err: error, sandboxId: id }, "a machine could not be bound");
      void this.examine(machineId);
    });
    // In reach at once: a caller who chose the id connects while the row is being written.
    this.#live.add({ ...fresh, version: 1 }, line, bound);
    const [inserted, updated] = await Promise.allSettled([
      this.#parts.store.insert(fresh, {
        type: "sandbox.created",
        data: { warm: true, template: template.name },
      }),
      sameLimits(machine.limits, request.limits)
        ? undefined
        : this.#parts.runtime.update(machineId, { limits: request.limits }),
    ]);
    if (inserted.status === "fulfilled" && updated.status === "fulfilled") {
      this.#live.refresh(inserted.value);
      return inserted.value;
    }
    const error =
      inserted.status === "rejected" ? inserted.reason : (updated as PromiseRejectedResult).reason;
    this.#live.remove(id);
    await this.#parts.factory
      .destroy(machineId, "The sandbox could not be made")
      .catch(() => false);
    // A row that was not ours to write is somebody's, and stays as it is.
    if (inserted.status === "fulfilled")
      await this.#failLocked(id, `It could not be made: ${messageOf(error)}`);
    throw error;
  }

  async #createCold(
    id: SandboxId,
    request: CreateRequest,
    template: PreparedTemplate,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
  ): Promise<SandboxRecord> {
    const machineId = newMachineId();
    const fresh = newSandboxRow(request, {
      ...this.#made(id, template, machineId),
      state: "creating",
      startedAt: undefined,
    });
    options.onProgress?.({ step: "boot" });
    // The row is written while the machine is made: a crash in between leaves a row without a machine
    // or a machine without a row, and the reconciler clears away either.
    const [inserted, made] = await Promise.allSettled([
      this.#parts.store.insert(fresh, {
        type: "sandbox.created",
        data: { warm: false, template: template.name },
      }),
      this.#parts.factory.create(template, request.limits, request.network, {
        purpose: "sandbox",
        machineId,
        ...options,
      }),
    ]);
    try {
      if (made.status === "rejected") throw made.reason;
      if (inserted.status === "rejected") throw inserted.reason;
      return await this.#becomeRunning(inserted.value, made.value.line);
    } catch (error) {
      this.#parts.templates.forget(template.name);
      await this.#parts.factory
        .destroy(machineId, "The sandbox could not be made")
        .catch(() => false);
      if (inserted.status === "fulfilled")
        await this.#failLocked(id, `It could not be made: ${messageOf(error)}`);
      throw error;
    }
  }

  #made(id: SandboxId, template: PreparedTemplate, machineId: MachineId) {
    const { runtime, nodeId } = this.#parts;
    return { id, template: template.name, machineId, runtime: runtime.name, nodeId };
  }

  async #becomeRunning(row: SandboxRecord, line: MachineLine): Promise<SandboxRecord> {
    await this.#parts.factory.waitReady(line);
    const [running] = await Promise.all([
      this.#moves.need(row.id, "machineReady", { startedAt: new Date(), stateReason: undefined }),
      line.bind(bindRequest(row)),
    ]);
    this.#live.add(running, line);
    this.#live.touch(row.id);
    return running;
  }

  async #finishStop(row: SandboxRecord, options: { graceMs?: number }): Promise<SandboxRecord> {
    this.#live.remove(row.id);
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
    const reason = new InsienError("sandbox_not_found", `Sandbox ${row.id} was destroyed`);
    this.#live.get(row.id)?.line.declareLost(reason);
    this.#live.remove(row.id);
    if (row.machineId !== undefined)
      await this.#parts.factory.destroy(row.machineId, "The sandbox was destroyed");
    await this.#moves.transition(row.id, "destroyed", { endedAt: new Date() });
  }

  async #failLocked(id: SandboxId, reason: string): Promise<void> {
    const line = this.#live.get(id)?.line;
    this.#live.remove(id);
    // Those who are connected learn it now; the database may take longer.
    line?.declareLost(new InsienError("sandbox_failed", `The sandbox failed. ${reason}`));
    const row = await this.#moves.transition(id, "machineLost", {
      stateReason: reason,
      endedAt: new Date(),
    });
    if (row?.state === "failed" && row.machineId !== undefined) {
      this.#parts.factory.destroy(row.machineId, reason).catch((error: unknown) => {
        // The reconciler removes the machines of failed sandboxes.
        this.#parts.log.warn(
          { err: error, sandboxId: id },
          "the machine of a failed sandbox could not be removed",
        );
      });
    }
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
