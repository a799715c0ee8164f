import { InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import type { SandboxRows } from "../db/index.ts";
import type { MachineLine } from "../line/machine-line.ts";
import type { LiveSandboxes } from "./live-sandboxes.ts";
import { ownedSandbox, sandboxNotFound } from "./owned-sandbox.ts";
import type { Principal } from "./principal.ts";
import type { SandboxLifecycle } from "./sandbox-lifecycle.ts";

export interface SandboxLinesParts {
  store: SandboxRows;
  live: LiveSandboxes;
  lifecycle: SandboxLifecycle;
}

/** The way from a caller to the agents of the caller's own sandboxes. */
export class SandboxLines {
  readonly #parts: SandboxLinesParts;

  constructor(parts: SandboxLinesParts) {
    this.#parts = parts;
  }

  isUp(id: SandboxId): boolean {
    return this.#parts.live.get(id)?.line.isUp ?? false;
  }

  /** Counts as activity. Waits for an agent that is dialling, and until it knows its sandbox. */
  async take(
    principal: Principal,
    id: SandboxId,
    options: { signal?: AbortSignal } = {},
  ): Promise<MachineLine> {
    const { live, lifecycle } = this.#parts;
    const creating = live.get(id) === undefined ? lifecycle.creating(id) : undefined;
    await creating?.catch(() => undefined);
    const found = live.get(id);
    if (found === undefined) throw await this.#whyNot(principal, id);
    if (found.row.ownerId !== principal.ownerId) throw sandboxNotFound(id);
    live.touch(id);
    const { line } = found;
    if (!line.isUp) await line.ready({ timeoutMs: LIMITS.lineTakeMs.value, ...options });
    await found.bound;
    return line;
  }

  async #whyNot(principal: Principal, id: SandboxId): Promise<InsienError> {
    const row = await ownedSandbox(this.#parts.store, principal, id);
    switch (row.state) {
      case "failed":
        return new InsienError(
          "sandbox_failed",
          `Sandbox ${id} failed. ${row.stateReason ?? ""}`.trim(),
        );
      case "stopped":
      case "paused":
        return new InsienError("sandbox_state", `Sandbox ${id} is ${row.state}: start it first`);
      case "destroying":
        return new InsienError("sandbox_not_found", `Sandbox ${id} is being destroyed`);
      default:
        return new InsienError(
          "agent_unreachable",
          `Sandbox ${id} is ${row.state} and does not answer yet`,
        );
    }
  }
}
