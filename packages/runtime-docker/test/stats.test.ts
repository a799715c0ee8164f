import { Bench } from "@insien/runtime/conformance";
import { describe, expect, test } from "vitest";
import { usageOf } from "../src/container-meter.ts";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit } from "./docker-host.ts";

describe.skipIf(!dockerAnswers)("usage where control groups cannot be seen", () => {
  test("is what the Engine says, and agrees with the kernel's files", async () => {
    await using bench = await Bench.open({
      create: (construction) => createDockerRuntime(construction),
      kit,
      template: { name: "debian", image: "debian:bookworm-slim" },
    });
    const machine = await bench.machine({ network: "internet" });
    await machine.shell("head -c 8000000 /dev/zero > file; sync file");
    const stats = await docker
      .getContainer(`insien-${machine.id}`)
      .stats({ stream: false, "one-shot": true });
    const asked = usageOf(stats, 0);
    const read = (await bench.runtime.meter?.measure([machine.id]))?.get(machine.id);
    expect(asked.memoryLimitBytes).toBe(machine.spec.limits.memoryBytes);
    expect(asked.cpuSeconds).toBeGreaterThan(0);
    expect(read?.cpuSeconds).toBeGreaterThanOrEqual(asked.cpuSeconds);
    expect(read?.cpuSeconds).toBeLessThan(asked.cpuSeconds + 1);
    expect(asked.pids).toBeGreaterThan(0);
    expect(Math.abs((read?.memoryBytes ?? 0) - asked.memoryBytes)).toBeLessThan(16 * 1024 * 1024);
    expect(asked.networkReceivedBytes + asked.networkSentBytes).toBeGreaterThan(0);
    expect(read?.networkSentBytes).toBeGreaterThanOrEqual(asked.networkSentBytes);
    expect(read?.diskWrittenBytes).toBeGreaterThanOrEqual(asked.diskWrittenBytes);
  });
});
