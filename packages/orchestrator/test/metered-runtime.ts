import type { MachineId } from "@insien/protocol";
import type { MachineUsage, Meter } from "@insien/runtime";
import { FakeRuntime } from "@insien/runtime/fake";

/** Machines whose use of the host a test sets; time and totals are the test's own. */
export class MeteredRuntime extends FakeRuntime {
  readonly usage = new Map<MachineId, MachineUsage>();
  readonly disks = new Map<MachineId, number>();
  /** Awaited by each measurement. */
  measuring: Promise<void> = Promise.resolve();
  measurements = 0;

  readonly meter: Meter = {
    measure: async (machineIds) => {
      this.measurements += 1;
      await this.measuring;
      return entriesOf(this.usage, machineIds);
    },
    diskSizes: (machineIds) => Promise.resolve(entriesOf(this.disks, machineIds)),
  };

  /** What a machine used up to now: nothing, but for what is given. */
  use(machineId: MachineId, used: Partial<MachineUsage> = {}): void {
    this.usage.set(machineId, {
      at: new Date(),
      cpuSeconds: 0,
      memoryBytes: 0,
      memoryLimitBytes: 100,
      pids: 1,
      networkReceivedBytes: 0,
      networkSentBytes: 0,
      diskReadBytes: 0,
      diskWrittenBytes: 0,
      outOfMemoryKills: 0,
      ...used,
    });
  }
}

function entriesOf<Value>(
  all: ReadonlyMap<MachineId, Value>,
  wanted: readonly MachineId[],
): Map<MachineId, Value> {
  return new Map([...all].filter(([id]) => wanted.includes(id)));
}
