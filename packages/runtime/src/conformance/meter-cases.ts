import { expect, type TestContext, vi } from "vitest";
import { newMachineId } from "@insien/protocol";
import type { MachineUsage, Meter } from "../facets.ts";
import { SMALL, type Bench, type TestMachine } from "./bench.ts";

const MiB = 1024 * 1024;

/** Skips a case where the runtime measures nothing. */
function meterOf(bench: Bench, context: TestContext): Meter {
  return bench.runtime.meter ?? context.skip("this runtime has no meter");
}

async function usageOf(meter: Meter, machine: TestMachine): Promise<MachineUsage> {
  const usage = (await meter.measure([machine.id])).get(machine.id);
  if (usage === undefined) throw new Error(`machine ${machine.id} was not measured`);
  return usage;
}

/** Holds 64 MiB for as long as the machine runs. */
const HOLD = "perl -e '$held = q(x) x (64 << 20); sleep 1000'";

export const meterCases = {
  "the meter sees CPU, memory and processes grow": async (bench: Bench, context: TestContext) => {
    const meter = meterOf(bench, context);
    const machine = await bench.machine();
    const before = await usageOf(meter, machine);
    expect(before.pids).toBeGreaterThan(0);
    expect(before.memoryBytes).toBeGreaterThan(MiB);
    const { limits } = await bench.runtime.capabilities();
    if (limits.memory !== undefined) expect(before.memoryLimitBytes).toBe(SMALL.memoryBytes);
    await machine.line.rpc("start", { shell: HOLD, background: true });
    await machine.shell(
      "for i in 1 2 3 4 5; do sleep 1000 & done; head -c 400M /dev/zero | md5sum",
    );
    await vi.waitFor(async () => {
      const after = await usageOf(meter, machine);
      expect(after.cpuSeconds - before.cpuSeconds).toBeGreaterThan(0.2);
      expect(after.memoryBytes - before.memoryBytes).toBeGreaterThan(50 * MiB);
      expect(after.pids - before.pids).toBeGreaterThan(0);
      expect(after.at.getTime()).toBeGreaterThan(before.at.getTime());
    }, 10_000);
  },

  "the meter sees what a network carries": async (bench: Bench, context: TestContext) => {
    const meter = meterOf(bench, context);
    const { networks } = await bench.runtime.capabilities();
    context.skip(!networks.includes("internet"), "machines here have no network");
    const machine = await bench.machine({ network: "internet" });
    const before = await usageOf(meter, machine);
    const sending = "for i in 1 2 3; do timeout 1 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'; done";
    await machine.bash(sending);
    await vi.waitFor(async () => {
      const after = await usageOf(meter, machine);
      expect(after.networkSentBytes).toBeGreaterThan(before.networkSentBytes);
    }, 10_000);
  },

  "the meter measures those that run, and only one's own": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const meter = meterOf(bench, context);
    const [running, stopped] = await Promise.all([bench.machine(), bench.machine()]);
    await bench.runtime.stop(stopped.id);
    const asked = [running.id, stopped.id, newMachineId()];
    expect([...(await meter.measure(asked)).keys()]).toEqual([running.id]);
    const stranger = await bench.instance({ ownerId: `${bench.ownerId}x` });
    expect((await stranger.meter?.measure(asked))?.size).toBe(0);
    expect((await stranger.meter?.diskSizes(asked))?.size).toBe(0);
    // One that was started again is another process in other groups.
    await bench.runtime.stop(running.id);
    await bench.runtime.start(running.id);
    await running.line.hello();
    expect((await usageOf(meter, running)).pids).toBeGreaterThan(0);
  },

  "the meter measures a machine's files": async (bench: Bench, context: TestContext) => {
    const meter = meterOf(bench, context);
    const machine = await bench.machine();
    const sizeOf = async () => (await meter.diskSizes([machine.id])).get(machine.id) ?? 0;
    const before = await sizeOf();
    await machine.shell(`head -c ${20 * MiB} /dev/urandom > file; sync file`);
    const after = await sizeOf();
    expect(after - before).toBeGreaterThanOrEqual(20 * MiB);
    expect(after - before).toBeLessThan(24 * MiB);
  },
};
