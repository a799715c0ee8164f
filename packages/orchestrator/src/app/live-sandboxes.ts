import type { AgentEvent, MachineId, SandboxId } from "@insien/protocol";
import type { SandboxRecord } from "../db/index.ts";
import type { MachineLine } from "../line/machine-line.ts";
import type { ExecutionRecord } from "./execution-record.ts";
import { mainEvent } from "./main-event.ts";
import type { MainRecord } from "./main-record.ts";

export interface LiveSandbox {
  row: SandboxRecord;
  line: MachineLine;
  lastActivityAt: number;
  /** Resolves once the machine has the sandbox's name and environment; nothing may run in it before. */
  bound: Promise<void>;
  release(): void;
}

/**
 * The running sandboxes of this node, in memory: what a request needs to find its machine without
 * asking the database, and what the idle clock reads. The database stays the truth; after a start
 * the reconciler fills this from it.
 */
export class LiveSandboxes {
  readonly #record: ExecutionRecord;
  readonly #mains: MainRecord;
  readonly #onDown: (machineId: MachineId) => void;
  readonly #byId = new Map<SandboxId, LiveSandbox>();
  readonly #byMachine = new Map<MachineId, SandboxId>();
  readonly #touched = new Set<SandboxId>();

  constructor(
    records: { executions: ExecutionRecord; mains: MainRecord },
    onDown: (machineId: MachineId) => void,
  ) {
    this.#record = records.executions;
    this.#mains = records.mains;
    this.#onDown = onDown;
  }

  add(row: SandboxRecord, line: MachineLine, bound: Promise<void> = Promise.resolve()): void {
    this.remove(row.id);
    const onEvent = (event: AgentEvent) => {
      const main = this.#mains.note(this.#byId.get(row.id)?.row ?? row, event);
      if (main === undefined) this.#record.add(row.id, event);
      else this.#record.addRecord(mainEvent(row.id, main));
    };
    const onDown = () => this.#onDown(line.machineId);
    line.on("event", onEvent);
    line.on("down", onDown);
    const release = () => {
      line.off("event", onEvent);
      line.off("down", onDown);
    };
    this.#byId.set(row.id, {
      row,
      line,
      lastActivityAt: row.lastActivityAt.getTime(),
      bound,
      release,
    });
    this.#byMachine.set(line.machineId, row.id);
  }

  get(id: SandboxId): LiveSandbox | undefined {
    return this.#byId.get(id);
  }

  ofMachine(machineId: MachineId): SandboxId | undefined {
    return this.#byMachine.get(machineId);
  }

  /** Nothing may run in it before it was told this too. */
  bindAgain(id: SandboxId, bind: (line: MachineLine) => Promise<void>): Promise<void> {
    const live = this.#byId.get(id);
    if (live === undefined) return Promise.resolve();
    const again = live.bound.catch(() => undefined).then(() => bind(live.line));
    live.bound = again;
    again.catch(() => undefined);
    return again;
  }

  /** The row was changed in the database while the machine stayed as it is. */
  refresh(row: SandboxRecord): void {
    const live = this.#byId.get(row.id);
    if (live !== undefined) live.row = row;
  }

  remove(id: SandboxId): void {
    const live = this.#byId.get(id);
    if (live === undefined) return;
    live.release();
    this.#mains.ended(live.row);
    this.#byId.delete(id);
    this.#byMachine.delete(live.line.machineId);
  }

  touch(id: SandboxId, now: number = Date.now()): void {
    const live = this.#byId.get(id);
    if (live === undefined) return;
    live.lastActivityAt = now;
    this.#touched.add(id);
  }

  /** Sandboxes used since the last call, for one batched write. */
  takeTouched(): Map<SandboxId, Date> {
    const touched = new Map<SandboxId, Date>();
    for (const id of this.#touched) {
      const live = this.#byId.get(id);
      if (live !== undefined) touched.set(id, new Date(live.lastActivityAt));
    }
    this.#touched.clear();
    return touched;
  }

  values(): IterableIterator<LiveSandbox> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }
}
