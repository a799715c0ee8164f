import { InsienError, LIMITS, type MachineId, newMachineId } from "@insien/protocol";
import type { MachineLimits, MachineSpec, PreparedTemplate, Runtime } from "@insien/runtime";
import type { LineServer } from "../line/line-server.ts";
import type { MachineLine } from "../line/machine-line.ts";

export interface LiveMachine {
  machineId: MachineId;
  template: PreparedTemplate;
  limits: MachineLimits;
  line: MachineLine;
}

/** What a machine is for, so that it can be found and kept or thrown away after a crash. */
export type MachinePurpose = "pool" | "sandbox";

/** What a machine is to be; the factory knows the rest. */
export type WantedMachine = Omit<MachineSpec, "machineId" | "lineDirectory" | "labels">;

/** Makes machines whose agent answers, and takes them down again without a trace. */
export class MachineFactory {
  readonly #runtime: Runtime;
  readonly #lines: LineServer;
  /** Machines between their first and last step here: not strays, whatever `list` says. */
  readonly #inFlight = new Set<MachineId>();

  constructor(runtime: Runtime, lines: LineServer) {
    this.#runtime = runtime;
    this.#lines = lines;
  }

  isInFlight(machineId: MachineId): boolean {
    return this.#inFlight.has(machineId);
  }

  /** Keeps a machine from being taken for a stray while it belongs to no row and no pool. */
  hold(machineId: MachineId): Disposable {
    this.#inFlight.add(machineId);
    return { [Symbol.dispose]: () => this.#inFlight.delete(machineId) };
  }

  async create(
    wanted: WantedMachine,
    options: { purpose: MachinePurpose; machineId?: MachineId; signal?: AbortSignal },
  ): Promise<LiveMachine> {
    const machineId = options.machineId ?? newMachineId();
    using _held = this.hold(machineId);
    try {
      const line = await this.#lines.open(machineId);
      await this.#runtime.create(
        {
          ...wanted,
          machineId,
          lineDirectory: this.#lines.directory(machineId),
          labels: { purpose: options.purpose },
        },
        options.signal === undefined ? {} : { signal: options.signal },
      );
      await this.waitReady(line, options);
      return { machineId, template: wanted.template, limits: wanted.limits, line };
    } catch (error) {
      await this.destroy(machineId, "The machine could not be made").catch(() => false);
      throw error;
    }
  }

  /** Waits for the agent's first words, but not for those of a machine that has already ended. */
  async waitReady(line: MachineLine, options: { signal?: AbortSignal } = {}): Promise<void> {
    const done = new AbortController();
    const signal =
      options.signal === undefined ? done.signal : AbortSignal.any([done.signal, options.signal]);
    const ready = line.ready({ timeoutMs: LIMITS.bootMs.value, ...options });
    try {
      await Promise.race([ready, this.#failWhenEnded(line.machineId, signal)]);
    } finally {
      done.abort();
      ready.catch(() => undefined);
    }
  }

  /** `false` when the runtime had no such machine. */
  async destroy(machineId: MachineId, reason: string): Promise<boolean> {
    using _held = this.hold(machineId);
    const destroyed = await this.#runtime.destroy(machineId);
    await this.#lines.close(machineId, new InsienError("machine_lost", reason));
    return destroyed;
  }

  async #failWhenEnded(machineId: MachineId, signal: AbortSignal): Promise<never> {
    for (;;) {
      await pause(200, signal);
      const machine = await this.#runtime.inspect(machineId);
      if (machine?.state === "exited") {
        throw new InsienError(
          "create_failed",
          `The machine ended while it started: ${machine.exitReason ?? "no reason given"}`,
        );
      }
    }
  }
}

/** Never resolves once the signal is aborted: whoever raced against it has already settled. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  });
}
