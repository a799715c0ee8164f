import { type MachineId, type SandboxId, newMachineId } from "@insien/protocol";
import type { PreparedTemplate, Progress, Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import type { AllBelongings } from "./belongings.ts";
import { type CreateRequest, bindRequest, newSandboxRow, sameLimits } from "./create-request.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import type { LiveMachine, MachineFactory } from "./machine-factory.ts";
import type { MachinePool } from "./machine-pool.ts";
import type { SandboxReach } from "./sandbox-reach.ts";
import type { TemplateCatalog } from "./template-catalog.ts";

export interface CreateOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

export interface CreationParts {
  store: SandboxRows;
  runtime: Runtime;
  factory: MachineFactory;
  pool: MachinePool;
  templates: TemplateCatalog;
  belongings: AllBelongings;
  live: LiveSandboxes;
  reach: SandboxReach;
  nodeId: string;
  log: Logger;
  /** Finds out whether a machine that behaves oddly lives. */
  examine(machineId: MachineId): Promise<void>;
  /** Its row was written, its machine is gone: what becomes of the row. */
  giveUp(id: SandboxId, error: unknown, options: { isPrepared: boolean }): Promise<void>;
  /** For the metrics: how a create ended. */
  onCreate?(create: { isWarm: boolean; isMade: boolean; seconds: number }): void;
}

/** Makes sandboxes: of a warm machine where one waits, otherwise of a new one. */
export class SandboxCreation {
  readonly #parts: CreationParts;

  constructor(parts: CreationParts) {
    this.#parts = parts;
  }

  async create(
    id: SandboxId,
    request: CreateRequest,
    options: CreateOptions,
  ): Promise<SandboxRecord> {
    await this.#parts.belongings.check(request);
    const startedAt = performance.now();
    let isWarm = false;
    const tell = (isMade: boolean) =>
      this.#parts.onCreate?.({ isWarm, isMade, seconds: (performance.now() - startedAt) / 1000 });
    try {
      const template = await this.#parts.templates.prepare(request, options);
      const warm = canBeWarm(request) ? this.#parts.pool.claim(template) : undefined;
      isWarm = warm !== undefined;
      const row = await (warm === undefined
        ? this.#createCold(id, request, template, options)
        : this.#createWarm(id, request, warm, options));
      tell(true);
      return row;
    } catch (error) {
      tell(false);
      throw error;
    }
  }

  async #createWarm(
    id: SandboxId,
    request: CreateRequest,
    machine: LiveMachine,
    options: CreateOptions,
  ): Promise<SandboxRecord> {
    const { store, runtime, factory, live, belongings, reach, log } = this.#parts;
    const { machineId, line, template } = machine;
    using _held = factory.hold(machineId);
    const fresh = newSandboxRow(request, {
      ...this.#made(id, template, machineId),
      state: "running",
      startedAt: new Date(),
    });
    const bound = line.bind(bindRequest(fresh));
    bound.catch((error: unknown) => {
      log.warn({ err: error, sandboxId: id }, "a machine could not be bound");
      void this.#parts.examine(machineId);
    });
    // In reach at once: a caller who chose the id connects while the row is being written.
    live.add({ ...fresh, version: 1 }, line, bound);
    const inserting = store.insert(fresh, {
      type: "sandbox.created",
      data: { warm: true, template: template.name },
    });
    const preparing = inserting.then((row) => belongings.prepare(row, request, options));
    const outcomes = await Promise.allSettled([
      inserting,
      preparing,
      sameLimits(machine.limits, request.limits)
        ? undefined
        : runtime.update(machineId, { limits: request.limits }),
    ]);
    const [inserted, prepared] = outcomes;
    const failure = outcomes.find((outcome) => outcome.status === "rejected");
    if (inserted.status === "fulfilled" && failure === undefined) {
      live.refresh(inserted.value);
      await belongings.running(inserted.value, request);
      return inserted.value;
    }
    reach.leave(id);
    await factory.destroy(machineId, "The sandbox could not be made").catch(() => false);
    // A row that was not ours to write is somebody's, and stays as it is.
    if (inserted.status === "fulfilled") {
      const isPrepared = prepared.status === "fulfilled";
      await this.#parts.giveUp(id, failure?.reason, { isPrepared });
    }
    throw failure?.reason;
  }

  async #createCold(
    id: SandboxId,
    request: CreateRequest,
    template: PreparedTemplate,
    options: CreateOptions,
  ): Promise<SandboxRecord> {
    const { store, factory, templates, belongings, reach } = this.#parts;
    const machineId = newMachineId();
    const fresh = newSandboxRow(request, {
      ...this.#made(id, template, machineId),
      state: "creating",
      startedAt: undefined,
    });
    options.onProgress?.({ step: "boot" });
    const inserted = await store.insert(fresh, {
      type: "sandbox.created",
      data: { warm: false, template: template.name },
    });
    let isPrepared = false;
    try {
      const { volumes } = await belongings.prepare(inserted, request, options);
      isPrepared = true;
      const { limits, network, readOnly, gpu } = request;
      const { line } = await factory.create(
        {
          ...{ template, limits, network },
          ...(volumes.length === 0 ? {} : { volumes }),
          ...(readOnly ? { readOnlyRoot: true } : {}),
          ...(gpu === undefined ? {} : { gpu }),
        },
        { purpose: "sandbox", machineId, ...options },
      );
      return await reach.enter(inserted, line, request);
    } catch (error) {
      templates.forget(template.name);
      await factory.destroy(machineId, "The sandbox could not be made").catch(() => false);
      await this.#parts.giveUp(id, error, { isPrepared });
      throw error;
    }
  }

  #made(id: SandboxId, template: PreparedTemplate, machineId: MachineId) {
    const { runtime, nodeId } = this.#parts;
    return { id, template: template.name, machineId, runtime: runtime.name, nodeId };
  }
}

/** Warm machines were made without knowing for whom: what cannot be changed later they do not have. */
const canBeWarm = ({ network, readOnly, gpu, volumes }: CreateRequest): boolean =>
  network === "none" && !readOnly && gpu === undefined && Object.keys(volumes).length === 0;
