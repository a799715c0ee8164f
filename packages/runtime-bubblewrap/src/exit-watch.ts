/** Notices ends of machines: at once for children of this process, by looking for all others. */
import type { MachineId } from "@insien/protocol";
import type { MachineEvent } from "@insien/runtime";
import { isAlive, type ProcessIdentity } from "./process-identity.ts";

/** Half a second is what an adopted machine's end may stay unknown; this leaves time to tell it. */
const LOOK_MS = 250;

export class ExitWatch implements Disposable {
  readonly #onEnd: (machineId: MachineId) => Promise<void>;
  /** First processes whose end is to be told. */
  readonly #expected = new Map<MachineId, ProcessIdentity>();
  /** Those of them whose end no child of ours will announce. */
  readonly #polled = new Set<MachineId>();
  readonly #listeners = new Set<(event: MachineEvent) => void>();
  #timer: NodeJS.Timeout | undefined;

  /** `onEnd` is called once per machine that was expected to end and did. */
  constructor(onEnd: (machineId: MachineId) => Promise<void>) {
    this.#onEnd = onEnd;
  }

  /** The end of this process is the machine's end; the caller announces it by `lookAt`. */
  expect(machineId: MachineId, first: ProcessIdentity): void {
    this.#expected.set(machineId, first);
  }

  /** The same for a machine that this process did not start. */
  poll(machineId: MachineId, first: ProcessIdentity): void {
    if (this.#expected.has(machineId)) return;
    this.#expected.set(machineId, first);
    this.#look(machineId);
  }

  /** The machine's bwrap ended; if the machine did not, because only bwrap was killed, look on. */
  async lookAt(machineId: MachineId, first: ProcessIdentity): Promise<void> {
    if (this.#expected.get(machineId) !== first) return;
    if (isAlive(first)) this.#look(machineId);
    else await this.#end(machineId);
  }

  /** For a machine whose end is our own doing. */
  forget(machineId: MachineId): void {
    this.#expected.delete(machineId);
    this.#polled.delete(machineId);
  }

  tell(event: MachineEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  async *events(signal: AbortSignal): AsyncIterable<MachineEvent> {
    const queue: MachineEvent[] = [];
    let wake = Promise.withResolvers<void>();
    const listener = (event: MachineEvent) => {
      queue.push(event);
      wake.resolve();
    };
    const abort = () => wake.resolve();
    this.#listeners.add(listener);
    signal.addEventListener("abort", abort);
    try {
      while (!signal.aborted) {
        yield* queue.splice(0);
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", abort);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#expected.clear();
    this.#polled.clear();
  }

  #look(machineId: MachineId): void {
    this.#polled.add(machineId);
    this.#timer ??= setInterval(() => this.#lookAtAll(), LOOK_MS).unref();
  }

  #lookAtAll(): void {
    for (const machineId of this.#polled) {
      const first = this.#expected.get(machineId);
      if (first === undefined || !isAlive(first)) void this.#end(machineId);
    }
  }

  async #end(machineId: MachineId): Promise<void> {
    this.forget(machineId);
    await this.#onEnd(machineId).catch(() => undefined);
  }
}
