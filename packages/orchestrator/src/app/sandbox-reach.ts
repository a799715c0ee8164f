import type { InsienError, SandboxId } from "@insien/protocol";
import type { SandboxRecord } from "../db/index.ts";
import type { MachineLine } from "../line/machine-line.ts";
import type { AllBelongings } from "./belongings.ts";
import { type CreateRequest, bindRequest } from "./create-request.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import type { MachineFactory } from "./machine-factory.ts";
import type { SandboxMoves } from "./sandbox-moves.ts";

export interface ReachParts {
  factory: MachineFactory;
  moves: SandboxMoves;
  live: LiveSandboxes;
  belongings: AllBelongings;
}

/** How a sandbox comes within reach and leaves it, for itself and for what belongs to it. */
export class SandboxReach {
  readonly #parts: ReachParts;

  constructor(parts: ReachParts) {
    this.#parts = parts;
  }

  /** Its machine was started: waits for the agent, tells it who it is, and the sandbox runs. */
  async enter(
    row: SandboxRecord,
    line: MachineLine,
    request?: CreateRequest,
  ): Promise<SandboxRecord> {
    const { factory, moves, live, belongings } = this.#parts;
    await factory.waitReady(line);
    const bound = line.bind(bindRequest(row));
    // In reach at once, so that nothing is missed of what the main command does first.
    live.add(row, line, bound);
    const [running] = await Promise.all([
      moves.need(row.id, "machineReady", { startedAt: new Date(), stateReason: undefined }),
      bound,
    ]);
    live.refresh(running);
    live.touch(row.id);
    await belongings.running(running, request);
    return running;
  }

  /** Whoever is connected learns `reason`, where one is given, before the connection breaks. */
  leave(id: SandboxId, reason?: InsienError): void {
    const { live, belongings } = this.#parts;
    const known = live.get(id);
    if (known === undefined) return;
    live.remove(id);
    if (reason !== undefined) known.line.declareLost(reason);
    belongings.away(known.row);
  }
}
