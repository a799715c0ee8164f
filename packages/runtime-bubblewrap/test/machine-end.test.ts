/** How machines end, and what is said about it, with plain programs in the agent's place. */
import { readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { isRunning, mustHave, waitFor } from "@insien/test-kit";
import type { MachineRecord } from "../src/machine-record.ts";
import { Workbench } from "./workbench.fixture.ts";

const recordOf = async (bench: Workbench, id: Parameters<Workbench["path"]>[0]) =>
  JSON.parse(await readFile(bench.path(id, "machine.json"), "utf8")) as MachineRecord;

const exitReasonOf = async (line: string): Promise<string | undefined> => {
  await using bench = await Workbench.openPlain(line);
  const spec = await bench.spec();
  await bench.runtime.create(spec);
  const { exitReason } = await waitFor(async () => {
    const machine = await bench.runtime.inspect(spec.machineId);
    return machine?.state === "exited" ? machine : undefined;
  });
  return exitReason;
};

test.each([
  ["sleep 0.2; exit 3", "agent exited with code 3"],
  ["sleep 0.2; exit 0", "agent exited with code 0"],
])("the reason of `%s`", async (line, reason) => {
  expect(await exitReasonOf(line)).toBe(reason);
});

const memoryLimit = await (async () => {
  await using bench = await Workbench.openPlain("true");
  return (await bench.runtime.capabilities()).limits.memory;
})();
const bounded = memoryLimit?.startsWith("cgroup") === true;

test.skipIf(!mustHave(bounded, "a writable memory control group"))(
  "a first process that takes too much memory",
  async () => {
    expect(await exitReasonOf("sleep 0.2; exec tail /dev/zero")).toBe("killed: out of memory");
  },
);

test("bwrap killed from outside: the machine lives on and its end is still noticed", async () => {
  await using bench = await Workbench.openPlain("exec sleep 1000");
  const spec = await bench.spec();
  await bench.runtime.create(spec);
  const { processes } = await recordOf(bench, spec.machineId);
  process.kill(processes?.monitor.pid ?? 0, "SIGKILL");
  expect((await bench.runtime.inspect(spec.machineId))?.state).toBe("running");
  const events = bench.runtime.watch({ signal: AbortSignal.timeout(10_000) });
  const next = events[Symbol.asyncIterator]().next();
  process.kill(processes?.first.pid ?? 0, "SIGKILL");
  expect((await next).value).toMatchObject({
    type: "exited",
    reason: expect.stringContaining("unknown reason"),
  });
});

test("a start that was interrupted before it was written down is found all the same", async () => {
  await using bench = await Workbench.openPlain("exec sleep 1000");
  const spec = await bench.spec();
  await bench.runtime.create(spec);
  const { processes, ...interrupted } = await recordOf(bench, spec.machineId);
  await writeFile(bench.path(spec.machineId, "machine.json"), JSON.stringify(interrupted));
  const restarted = bench.instance();
  expect((await restarted.inspect(spec.machineId))?.state).toBe("running");
  expect(await restarted.destroy(spec.machineId)).toBe(true);
  expect(isRunning(processes?.first.pid ?? process.pid)).toBe(false);
});

test("a process number that was used again is not mistaken for the machine", async () => {
  await using bench = await Workbench.openPlain("exec sleep 1000");
  const spec = await bench.spec();
  await bench.runtime.create(spec);
  await bench.runtime.stop(spec.machineId, { graceMs: 0 });
  const record = await recordOf(bench, spec.machineId);
  const own = { pid: process.pid, startTicks: 1, bootId: record.processes?.first.bootId ?? "" };
  const forged = { ...record, wanted: "running", processes: { monitor: own, first: own } };
  await writeFile(bench.path(spec.machineId, "machine.json"), JSON.stringify(forged));
  expect((await bench.runtime.inspect(spec.machineId))?.state).toBe("exited");
  expect(await bench.runtime.destroy(spec.machineId)).toBe(true);
});
