import type { Progress, VolumeMount } from "@insien/runtime";
import type { Logger } from "pino";
import type { SandboxRecord } from "../db/index.ts";
import type { CreateRequest } from "./create-request.ts";

/**
 * What a sandbox has besides its machine, such as ports and volumes. The lifecycle tells each kind
 * when something happens to the sandbox; calls about one sandbox come one at a time, and each may
 * come twice, because the reconciler finishes what a crash cut short.
 */
export interface Belongings {
  /** Nothing was made yet. What this throws refuses the create before it costs anything. */
  check?(request: CreateRequest): Promise<void>;
  /** The row was written, and the machine is about to be made. What this throws refuses the create. */
  prepare?(
    row: SandboxRecord,
    request: CreateRequest,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
  ): Promise<{ volumes?: readonly VolumeMount[] } | undefined>;
  /**
   * It can be reached: after a create, a start, and when a new process takes it up. After a create
   * comes the request too, so that what was not asked for need not be looked up. What this throws is
   * logged, and the sandbox runs on.
   */
  running?(row: SandboxRecord, request?: CreateRequest): Promise<void>;
  /** It cannot be reached any more, for whatever reason. Must not throw. */
  away?(row: SandboxRecord): void;
  /** It is destroyed or failed, and its machine is gone: nothing of it may be left. */
  ended?(row: SandboxRecord): Promise<void>;
}

/** All kinds of belongings as one. */
export class AllBelongings implements Required<Belongings> {
  readonly #kinds: readonly Belongings[];
  readonly #log: Logger;

  constructor(kinds: readonly Belongings[], log: Logger) {
    this.#kinds = kinds;
    this.#log = log;
  }

  async check(request: CreateRequest): Promise<void> {
    for (const kind of this.#kinds) await kind.check?.(request);
  }

  /** One kind after the other: what the first refuses, the next need not make. */
  async prepare(
    ...given: Parameters<Required<Belongings>["prepare"]>
  ): Promise<{ volumes: readonly VolumeMount[] }> {
    const volumes: VolumeMount[] = [];
    for (const kind of this.#kinds) {
      const prepared = await kind.prepare?.(...given);
      volumes.push(...(prepared?.volumes ?? []));
    }
    return { volumes };
  }

  async running(row: SandboxRecord, request?: CreateRequest): Promise<void> {
    const each = this.#kinds.map(async (kind) => kind.running?.(row, request));
    for (const outcome of await Promise.allSettled(each)) {
      if (outcome.status === "fulfilled") continue;
      const said = { err: outcome.reason as unknown, sandboxId: row.id };
      this.#log.warn(said, "something that belongs to a sandbox could not be put into service");
    }
  }

  away(row: SandboxRecord): void {
    for (const kind of this.#kinds) kind.away?.(row);
  }

  async ended(row: SandboxRecord): Promise<void> {
    await Promise.all(this.#kinds.map(async (kind) => kind.ended?.(row)));
  }
}
