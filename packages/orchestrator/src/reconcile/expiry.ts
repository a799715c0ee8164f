import type { Logger } from "pino";
import type { LiveSandboxes } from "../app/live-sandboxes.ts";
import type { SandboxLifecycle } from "../app/sandbox-lifecycle.ts";
import type { SandboxRows } from "../db/index.ts";

const SWEEP_MS = 1_000;
/** Stopped sandboxes expire too; those are only in the database. */
const DATABASE_SWEEPS = 10;
const PURGE_SWEEPS = 3_600;
const DUE_MAX = 500;

export interface ExpiryParts {
  store: SandboxRows;
  live: LiveSandboxes;
  lifecycle: SandboxLifecycle;
  nodeId: string;
  /** How long the rows and events of ended sandboxes are kept. */
  retentionMs: number;
  log: Logger;
}

/** Ends sandboxes whose time is over or that nobody uses, and writes down when each was last used. */
export class Expiry implements Disposable {
  readonly #parts: ExpiryParts;
  readonly #timer: NodeJS.Timeout;
  #sweeps = 0;
  #sweeping = false;

  constructor(parts: ExpiryParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.#sweepOnce(), SWEEP_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #sweepOnce(): Promise<void> {
    if (this.#sweeping) return;
    this.#sweeping = true;
    try {
      await this.#sweep(Date.now());
    } catch (error) {
      this.#parts.log.warn({ err: error }, "an expiry sweep failed; the next one tries again");
    } finally {
      this.#sweeping = false;
    }
  }

  async #sweep(now: number): Promise<void> {
    const { live, store, nodeId } = this.#parts;
    for (const sandbox of live.values()) {
      const { row, line } = sandbox;
      // While the agent is away, what runs is unknown; it counts as in use until examined.
      if (!line.isUp || line.running.commands > 0 || line.running.terminals > 0)
        live.touch(row.id, now);
      const idleMs = now - sandbox.lastActivityAt;
      if (row.expiresAt !== undefined && row.expiresAt.getTime() <= now)
        this.#end(row.id, "Its time to live was over");
      else if (row.idleTimeoutSeconds > 0 && idleMs >= row.idleTimeoutSeconds * 1000) {
        this.#end(row.id, `It was not used for ${row.idleTimeoutSeconds} seconds`);
      }
    }
    this.#sweeps += 1;
    if (this.#sweeps % DATABASE_SWEEPS === 0) {
      const touched = live.takeTouched();
      await store.touch(touched);
      for (const row of await store.due(new Date(now), DUE_MAX, { nodeId })) {
        if (row.state !== "running") this.#end(row.id, "Its time to live was over");
      }
    }
    if (this.#sweeps % PURGE_SWEEPS === 1)
      await store.purge(new Date(now - this.#parts.retentionMs));
  }

  #end(id: Parameters<SandboxLifecycle["destroy"]>[0], reason: string): void {
    const { lifecycle, log } = this.#parts;
    if (lifecycle.isBusy(id)) return;
    log.info({ sandboxId: id, reason }, "destroying a sandbox");
    lifecycle.destroy(id, reason).catch((error: unknown) => {
      log.warn(
        { err: error, sandboxId: id },
        "a sandbox that expired could not be destroyed; trying again",
      );
    });
  }
}
