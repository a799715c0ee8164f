import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { groupPath, readGroupUsage } from "../src/metrics/control-group.ts";
import { metricsHandlers } from "../src/metrics/index.ts";
import { sumProcesses } from "../src/metrics/process-table.ts";
import { noConnection } from "./files.fixture.ts";

let mount: string;
beforeEach(async () => {
  mount = await mkdtemp(join(tmpdir(), "insien-cgroup-"));
});
afterEach(() => rm(mount, { recursive: true }));

async function lay(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(mount, name)), { recursive: true });
    await writeFile(join(mount, name), text);
  }
}

test("this machine's own numbers are plausible and CPU time grows with use", async () => {
  const { metrics: read } = metricsHandlers({ home: tmpdir() });
  const { metrics: before } = await read({ id: 1, type: "metrics" }, noConnection);
  // Used, not passed: a busy machine gives less of the one than of the other.
  const begun = process.cpuUsage();
  while (process.cpuUsage(begun).user < 100_000);
  const { metrics: after } = await read({ id: 1, type: "metrics" }, noConnection);
  expect(after.cpu.usedMs - before.cpu.usedMs).toBeGreaterThanOrEqual(50);
  expect(after.cpu.cores).toBeGreaterThan(0);
  expect(after.memory.usedBytes).toBeGreaterThan(10_000_000);
  expect(after.memory.limitBytes).toBeGreaterThan(after.memory.usedBytes);
  expect(after.disk.totalBytes).toBeGreaterThan(after.disk.usedBytes);
  expect(after.processes).toBeGreaterThan(0);
});

test("without a control group the processes are added up", async () => {
  const sum = await sumProcesses();
  expect(sum.processes).toBeGreaterThan(0);
  expect(sum.memoryBytes).toBeGreaterThan(process.memoryUsage.rss() / 2);
  expect(sum.cpuMs).toBeGreaterThan(0);
});

test("version 2 is read, and file cache does not count as used", async () => {
  await lay({
    "cgroup.controllers": "cpu memory pids",
    "cpu.stat": "usage_usec 2500000\nuser_usec 1",
    "cpu.max": "150000 100000",
    "memory.current": "1000",
    "memory.stat": "anon 1\ninactive_file 300",
    "memory.max": "4096",
    "pids.current": "7",
  });
  expect(await readGroupUsage(mount)).toEqual({
    cpuMs: 2500,
    cpuCores: 1.5,
    memoryBytes: 700,
    memoryLimitBytes: 4096,
    processes: 7,
  });
});

test("version 1 is read, and its way to say no limit is understood", async () => {
  await lay({
    "cpuacct/cpuacct.usage": "3000000000",
    "cpu/cpu.cfs_quota_us": "-1",
    "cpu/cpu.cfs_period_us": "100000",
    "memory/memory.usage_in_bytes": "1000",
    "memory/memory.stat": "total_inactive_file 100",
    "memory/memory.limit_in_bytes": "9223372036854771712",
  });
  expect(await readGroupUsage(mount)).toEqual({ cpuMs: 3000, memoryBytes: 900 });
});

test("the group of a controller is found in either version's list", () => {
  const version1 = "4:cpu,cpuacct:/docker/x\n1:memory:/docker/y";
  expect(groupPath(version1, "cpuacct")).toBe("/docker/x");
  expect(groupPath("0::/user.slice", "")).toBe("/user.slice");
  expect(groupPath(version1, "pids")).toBeUndefined();
});
