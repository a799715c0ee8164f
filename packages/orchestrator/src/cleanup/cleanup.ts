import { type CleanupItem, InsienError, LIMITS } from "@insien/protocol";
import type { Logger } from "pino";
import type { Maintenance } from "../app/maintenance.ts";
import type { Principal } from "../app/principal.ts";
import type { Finder, Finding } from "./finding.ts";

export interface CleanupParts {
  finders: readonly Finder[];
  log: Logger;
  /** The clock that ages are told by; the host's own by default. */
  now?: () => Date;
  onRemoved?: (kind: Finding["kind"], outcome: "removed" | "failed") => void;
}

/** Removes what nobody owns any more, or says what that would be. */
export class Cleanup implements Maintenance {
  readonly #parts: CleanupParts;
  /** Of whoever asks, one after the other: two would find the same things. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: CleanupParts) {
    this.#parts = parts;
  }

  cleanup(principal: Principal, options: { dryRun: boolean }): Promise<CleanupItem[]> {
    if (!principal.admin)
      throw new InsienError("forbidden", "Only an administrator's key may clean up");
    return this.run(options);
  }

  run(options: { dryRun: boolean; signal?: AbortSignal }): Promise<CleanupItem[]> {
    const turn = this.#turn.then(() => this.#run(options));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #run(options: { dryRun: boolean; signal?: AbortSignal }): Promise<CleanupItem[]> {
    const items: CleanupItem[] = [];
    for (const finder of this.#parts.finders) {
      options.signal?.throwIfAborted();
      const room = LIMITS.cleanupItems.value - items.length;
      const found = await this.#find(finder, items);
      for (const finding of found.slice(0, room)) {
        options.signal?.throwIfAborted();
        items.push(options.dryRun ? itemOf(finding) : await this.#remove(finding));
      }
    }
    return items;
  }

  /** What cannot be looked for is said, and does not keep the rest from being cleaned up. */
  async #find(finder: Finder, items: CleanupItem[]): Promise<Finding[]> {
    const { now = () => new Date() } = this.#parts;
    try {
      return await finder.find(now());
    } catch (error) {
      const { kind } = finder;
      this.#parts.log.warn({ err: error, kind }, "what nobody owns could not be looked for");
      items.push({ kind, id: "*", reason: "These could not be looked for", error: textOf(error) });
      return [];
    }
  }

  async #remove(finding: Finding): Promise<CleanupItem> {
    const { log, onRemoved } = this.#parts;
    const { kind, id, reason, bytes } = finding;
    try {
      const removed = await finding.remove();
      if (removed) {
        log.info({ kind, id, reason, bytes }, "removed what nobody owned");
        onRemoved?.(kind, "removed");
      }
      return { ...itemOf(finding), removed };
    } catch (error) {
      log.warn({ err: error, kind, id, reason }, "what nobody owns could not be removed");
      onRemoved?.(kind, "failed");
      return { ...itemOf(finding), removed: false, error: textOf(error) };
    }
  }
}

const itemOf = ({ kind, id, reason, bytes }: Finding): CleanupItem => ({
  kind,
  id,
  reason,
  ...(bytes === undefined ? {} : { bytes }),
});

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
