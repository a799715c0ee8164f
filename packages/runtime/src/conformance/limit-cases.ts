import { expect, vi } from "vitest";
import type { Bench } from "./bench.ts";
import { SMALL } from "./bench.ts";

const MiB = 1024 * 1024;

// Each hog is itself bounded, so that a runtime whose limit does not hold fails its test and not
// the host.
const MEMORY_HOG = "head -c 900M /dev/zero | tail > /dev/null";
const PROCESS_HOG = "i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done";

/** Seconds of CPU that two busy loops got in two seconds of wall-clock time. */
const CPU_HOG = `TIMEFORMAT="%U %S"; loop() { timeout 2 sh -c 'while :; do :; done'; }
time { loop & loop & wait; }`;

export const limitCases = {
  "a memory hog is killed and the machine answers or says why not": async (bench: Bench) => {
    const machine = await bench.machine({ limits: { ...SMALL, memoryBytes: 200 * MiB } });
    const run = await machine.shell(MEMORY_HOG).catch(() => undefined);
    const state = await bench.runtime.inspect(machine.id);
    if (state?.state === "exited") {
      expect(state.exitReason).toMatch(/memory/);
      return;
    }
    expect(run?.stderr !== "" || run.signal !== undefined || run.exitCode !== 0).toBe(true);
    await machine.line.rpc("ping", {});
  },

  "a process hog stops at the pids limit": async (bench: Bench) => {
    const machine = await bench.machine({ limits: { ...SMALL, pids: 64 } });
    const run = await machine.shell(PROCESS_HOG);
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toMatch(/fork|[Rr]esource/);
    await machine.line.rpc("ping", {});
  },

  "the CPU share holds": async (bench: Bench) => {
    const machine = await bench.machine({ limits: { ...SMALL, cpu: 0.5 } });
    const { stderr } = await machine.bash(CPU_HOG);
    const [user = Number.NaN, system = Number.NaN] = stderr.trim().split(" ").map(Number);
    // Half a core for two seconds is one; without a limit one core alone gives two.
    expect(user + system).toBeLessThan(1.5);
    expect(user + system).toBeGreaterThan(0.1);
  },

  "update changes the limits of a running machine": async (bench: Bench) => {
    const machine = await bench.machine({ limits: { ...SMALL, pids: 256 } });
    await bench.runtime.update(machine.id, {
      limits: { cpu: 0.5, memoryBytes: 160 * MiB, pids: 48 },
    });
    expect((await machine.shell(PROCESS_HOG)).stderr).toMatch(/fork|[Rr]esource/);
    await machine.line.rpc("ping", {});
  },

  "updated limits outlive stop and start": async (bench: Bench) => {
    const machine = await bench.machine({ limits: { ...SMALL, pids: 256 } });
    await bench.runtime.update(machine.id, { limits: { ...SMALL, pids: 48 } });
    await bench.runtime.stop(machine.id);
    await bench.runtime.start(machine.id);
    await machine.line.hello();
    expect((await machine.shell(PROCESS_HOG)).stderr).toMatch(/fork|[Rr]esource/);
  },

  "update brings the internet to a machine that had none": async (bench: Bench) => {
    const machine = await bench.machine({ network: "none" });
    await bench.runtime.update(machine.id, { network: "internet" });
    const { stdout } = await machine.shell("cat /proc/net/dev");
    expect(stdout.split("\n").slice(2).filter(Boolean).length).toBeGreaterThan(1);
    await bench.runtime.update(machine.id, { network: "none" });
    await vi.waitFor(async () => {
      const { stdout: after } = await machine.shell("cat /proc/net/dev");
      expect(after.split("\n").slice(2).filter(Boolean)).toHaveLength(1);
    }, 5_000);
    await machine.line.rpc("ping", {});
  },

  "orphans are reaped": async (bench: Bench) => {
    const machine = await bench.machine();
    await machine.shell("for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.05 &) ; done");
    await vi.waitFor(async () => {
      const { stdout } = await machine.shell("cat /proc/[0-9]*/stat 2>/dev/null");
      expect(
        stdout.split("\n").filter((line) => /\) Z /.test(line) || /\(sleep\)/.test(line)),
      ).toEqual([]);
    }, 5_000);
  },
};
