import { InsienError, type SandboxId } from "@insien/protocol";
import type { SandboxChanges, SandboxRecord, SandboxRows } from "../db/index.ts";
import { nodeSilent } from "./node-directory.ts";
import { type SandboxEventName, next } from "./sandbox-state.ts";

/** How often a row is read again that somebody else changed in between. */
const FENCED_RETRIES = 3;

/** What each move is called in the stream of events, which clients and webhooks read. */
const RECORDED_AS: Readonly<Record<SandboxEventName, string>> = {
  machineReady: "sandbox.running",
  machineLost: "sandbox.failed",
  stopRequested: "sandbox.stopping",
  stopped: "sandbox.stopped",
  startRequested: "sandbox.starting",
  pauseRequested: "sandbox.pausing",
  paused: "sandbox.paused",
  resumeRequested: "sandbox.resuming",
  extended: "sandbox.extended",
  configured: "sandbox.configured",
  destroyRequested: "sandbox.destroying",
  destroyed: "sandbox.destroyed",
};

export type Changes = Omit<SandboxChanges, "state">;
/** Those that follow from what the row is are asked for anew for each row that is read. */
type ChangesOf = Changes | ((row: SandboxRecord) => Changes);

/** A row as it now is, and whether it was this very call that changed it. */
export interface Move {
  row: SandboxRecord | undefined;
  isMoved: boolean;
}

/** Moves the rows of sandboxes on: as the state machine allows, and fenced by the row's version. */
export class SandboxMoves {
  readonly #store: SandboxRows;
  readonly #nodeId: string;

  constructor(store: SandboxRows, nodeId: string) {
    this.#store = store;
    this.#nodeId = nodeId;
  }

  /** The row, unless its machine is another node's, which nothing here may touch. */
  async ours(id: SandboxId): Promise<SandboxRecord | undefined> {
    const row = await this.#store.get(id);
    return row?.nodeId === this.#nodeId ? row : undefined;
  }

  /**
   * Moves a sandbox on and records it. The row is the unchanged one when the event changes nothing,
   * and `undefined` when there is none. Nothing but the wish to destroy it may be written to another
   * node's: everything else throws `agent_unreachable`.
   */
  async move(id: SandboxId, event: SandboxEventName, wanted: ChangesOf = {}): Promise<Move> {
    for (let attempt = 0; attempt < FENCED_RETRIES; attempt += 1) {
      const row = await this.#store.get(id);
      if (row === undefined) return { row, isMoved: false };
      if (row.nodeId !== this.#nodeId && event !== "destroyRequested") {
        throw nodeSilent(id, row.nodeId ?? "");
      }
      const step = next(row.state, event);
      if (step.kind === "refuse") throw step.error(id, row.stateReason);
      if (step.kind === "ignore") return { row, isMoved: false };
      const changes = typeof wanted === "function" ? wanted(row) : wanted;
      const record = { type: RECORDED_AS[event], data: dataOf(changes) };
      const moved = await this.#store.transition(row, { ...changes, state: step.state }, record);
      if (moved !== undefined) return { row: moved, isMoved: true };
    }
    throw new InsienError("conflict", `Sandbox ${id} is being changed by several callers at once`);
  }

  /** As `move`, for those to whom it is all the same who made the row what it is. */
  async transition(
    id: SandboxId,
    event: SandboxEventName,
    changes?: ChangesOf,
  ): Promise<SandboxRecord | undefined> {
    return (await this.move(id, event, changes)).row;
  }

  /** Nothing is left of a failed sandbox but its row. */
  async cleared(row: SandboxRecord): Promise<void> {
    await this.#store.transition(row, { machineId: undefined }, { type: "sandbox.cleared" });
  }

  /** As `transition`, for callers to whom a sandbox that does not exist is an error. */
  async need(id: SandboxId, event: SandboxEventName, changes?: ChangesOf): Promise<SandboxRecord> {
    const row = await this.transition(id, event, changes);
    if (row === undefined) throw new InsienError("sandbox_not_found", `There is no sandbox ${id}`);
    return row;
  }
}

/** What is recorded of changes: values that may be secret are not. */
function dataOf(changes: Changes): Record<string, unknown> {
  const { stateReason: reason, environment, entrypointChangedAt } = changes;
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(environment === undefined ? {} : { environment_keys: Object.keys(environment) }),
    ...(entrypointChangedAt === undefined ? {} : { entrypoint: true }),
  };
}
