import { LIMITS, type MachineId } from "@insien/protocol";
import type { MachineUsage, Runtime } from "@insien/runtime";
import type { Logger } from "pino";
import { Duty } from "../app/duty.ts";
import type { Database, MeteredSandbox, Usage } from "../db/index.ts";
import { DiskRound } from "./disk-round.ts";
import { keepHistory } from "./history.ts";
import { Thresholds } from "./thresholds.ts";

/** Minutes are rolled up this long after their end: what was measured in them is written by then. */
const HISTORY_MS = 20_000;

export interface MonitorParts {
  database: Database;
  runtime: Runtime;
  nodeId: string;
  /** Of this process, to tell its leases from those of others. */
  holder: string;
  dataDirectory: string;
  intervalMs: number;
  retentionMs: number;
  memoryHigh: number;
  diskHighBytes: number;
  log: Logger;
  /** LIMITS.usageDiskMs by default. */
  diskIntervalMs?: number;
  onRound?: (seconds: number, sandboxes: number) => void;
}

/**
 * Measures the sandboxes of a node in rounds, keeps what it measured, and tells in their events what
 * is worth telling. Of several monitors of one node one works; the others stand by.
 */
export class Monitor implements AsyncDisposable {
  readonly #parts: MonitorParts;
  readonly #thresholds: Thresholds;
  readonly #disks: DiskRound;
  readonly #duties: Duty[];
  /** Of the round before: cores in use are a difference. */
  #previous = new Map<MachineId, MachineUsage>();
  readonly #stop = new AbortController();
  #measuringDisks: Promise<void> | undefined;
  #disksDueAt = 0;

  constructor(parts: MonitorParts) {
    this.#parts = parts;
    const { database, nodeId, memoryHigh, diskHighBytes, log } = parts;
    const { usage, events } = database;
    this.#thresholds = new Thresholds({ memoryHigh, diskHighBytes, since: new Date() });
    const { runtime, dataDirectory } = parts;
    const thresholds = this.#thresholds;
    this.#disks = new DiskRound({ runtime, usage, events, thresholds, nodeId, dataDirectory, log });
    this.#duties = [
      this.#duty(`monitor:${nodeId}`, parts.intervalMs, (signal) => this.#round(signal)),
      this.#duty("usage-history", HISTORY_MS, (signal) =>
        keepHistory(usage, { retentionMs: parts.retentionMs, settledMs: HISTORY_MS, signal }),
      ),
    ];
  }

  /** Whether it is this process that measures. */
  get isOurs(): boolean {
    return this.#duties[0]?.isOurs === true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#duties.map((duty) => duty[Symbol.asyncDispose]()));
    await this.#measuringDisks;
  }

  #duty(name: string, everyMs: number, round: (signal: AbortSignal) => Promise<void>): Duty {
    const { database, holder, log } = this.#parts;
    // The embedded database is open in one process at a time, which is alone then.
    const leases = database.kind === "embedded" ? undefined : database.leases;
    return new Duty({ name, holder, leases, everyMs, round, log });
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { database, runtime, nodeId, onRound } = this.#parts;
    if (runtime.meter === undefined) return;
    const startedAt = performance.now();
    const sandboxes = await database.usage.metered(nodeId);
    const measured = await runtime.meter.measure(
      sandboxes.map(({ machineId }) => machineId),
      { signal: AbortSignal.any([signal, AbortSignal.timeout(LIMITS.usageMeasureMs.value)]) },
    );
    // Another process has taken over: what it writes is not to be written twice.
    signal.throwIfAborted();
    const previous = this.#previous;
    this.#previous = measured;
    const rows: Usage[] = [];
    const news = [];
    for (const sandbox of sandboxes) {
      const usage = measured.get(sandbox.machineId);
      if (usage === undefined) continue;
      const row = this.#row(sandbox, usage, previous.get(sandbox.machineId));
      if (row !== undefined) rows.push(row);
      news.push(...this.#thresholds.measured(sandbox, usage));
    }
    this.#thresholds.keep(new Set(sandboxes.map(({ id }) => id)));
    await Promise.all([database.usage.add(rows), database.events.appendAll(news)]);
    this.#measureDisks(sandboxes);
    onRound?.((performance.now() - startedAt) / 1000, measured.size);
  }

  /** Takes as long as there are files, so that it goes on beside the rounds. */
  #measureDisks(sandboxes: readonly MeteredSandbox[]): void {
    const now = performance.now();
    if (this.#measuringDisks !== undefined || now < this.#disksDueAt) return;
    const everyMs = this.#parts.diskIntervalMs ?? LIMITS.usageDiskMs.value;
    this.#measuringDisks = this.#disks
      .run(sandboxes, this.#stop.signal)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        this.#parts.log.warn({ err: error }, "disks could not be measured; trying again");
      })
      .finally(() => {
        this.#measuringDisks = undefined;
        this.#disksDueAt = performance.now() + everyMs;
      });
  }

  /** Nothing for a machine that is seen for the first time, or that was started again meanwhile. */
  #row(
    { id }: MeteredSandbox,
    usage: MachineUsage,
    before: MachineUsage | undefined,
  ): Usage | undefined {
    if (before === undefined) return undefined;
    const seconds = (usage.at.getTime() - before.at.getTime()) / 1000;
    const cpuSeconds = usage.cpuSeconds - before.cpuSeconds;
    if (seconds <= 0 || cpuSeconds < 0) return undefined;
    const { at, cpuSeconds: _, outOfMemoryKills: __, ...rest } = usage;
    return {
      sandboxId: id,
      at,
      cpuCores: cpuSeconds / seconds,
      ...wholeNumbers(rest),
      diskBytes: this.#disks.sizeOf(id),
    };
  }
}

/** Columns of bytes take no fractions, which cgroup files do not have but other sources may. */
function wholeNumbers<Key extends string>(numbers: Record<Key, number>): Record<Key, number> {
  const entries = Object.entries<number>(numbers).map(([key, value]) => [key, Math.round(value)]);
  return Object.fromEntries(entries) as Record<Key, number>;
}
