import { Bench } from "@insien/runtime/conformance";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit } from "./docker-host.ts";

/** CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID as the kernel's bits. */
const CAPABILITY_BITS = 0b1111_1011n;

describe.skipIf(!dockerAnswers)("a machine's container", () => {
  let bench: Bench;
  beforeAll(async () => {
    const template = { name: "debian", image: "debian:bookworm-slim" };
    bench = await Bench.open({ create: (options) => createDockerRuntime(options), kit, template });
  });
  afterAll(async () => await bench?.[Symbol.asyncDispose]());

  test("has seven capabilities at most, no new privileges and a seccomp filter", async () => {
    const machine = await bench.machine();
    const status = await machine.line.rpc("exec", {
      cmd: "cat",
      args: ["/proc/1/status"],
      user: "root",
    });
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status.stdout)?.[1];
    for (const set of ["CapBnd", "CapEff", "CapPrm"]) {
      const bits = BigInt(`0x${field(set)}`);
      expect(bits & ~CAPABILITY_BITS, set).toBe(0n);
    }
    expect(field("NoNewPrivs")).toBe("1");
    expect(field("Seccomp")).toBe("2");
  });

  test("may not mount, make namespaces, load modules or set the clock, even as root", async () => {
    const machine = await bench.machine();
    for (const shell of [
      "mount -t tmpfs none /mnt",
      "unshare --user --map-root-user true",
      "unshare --net true",
      "mknod /tmp/sda b 8 0",
      "date --set=2001-01-01",
      "chroot / true",
      "echo 1 > /proc/sys/kernel/panic",
      "echo c > /proc/sysrq-trigger",
    ]) {
      const run = await machine.line.rpc("exec", { shell, user: "root" });
      expect(run.exitCode, shell).not.toBe(0);
    }
  });

  test("never lacks a limit, never swaps, never restarts itself", async () => {
    const machine = await bench.machine();
    const { HostConfig } = await docker.getContainer(`insien-${machine.id}`).inspect();
    const { limits } = machine.spec;
    expect(HostConfig).toMatchObject({
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      NanoCpus: limits.cpu * 1e9,
      PidsLimit: limits.pids,
      NetworkMode: "none",
      Privileged: false,
      RestartPolicy: { Name: "no" },
    });
  });

  test("gets all cores where it asks for more than there are", async () => {
    const { NCPU } = (await docker.info()) as { NCPU: number };
    const machine = await bench.prepare();
    const limits = { ...machine.spec.limits, cpu: NCPU + 1 };
    await bench.runtime.create({ ...machine.spec, limits });
    const cores = async (): Promise<number> => {
      const { HostConfig } = await docker.getContainer(`insien-${machine.id}`).inspect();
      return (HostConfig.NanoCpus ?? 0) / 1e9;
    };
    expect(await cores()).toBe(NCPU);
    await bench.runtime.update(machine.id, { limits: { ...limits, cpu: 0.5 } });
    expect(await cores()).toBe(0.5);
    await bench.runtime.update(machine.id, { limits });
    expect(await cores()).toBe(NCPU);
  });

  test("whose agent cannot start tells the agent's last words", async () => {
    const command = [...bench.kit.command.slice(0, -1), "/insien/kit/no-such-file.cjs"];
    const runtime = await bench.instance({ kit: { ...bench.kit, command } });
    const machine = await bench.prepare();
    const signal = AbortSignal.timeout(20_000);
    const events = runtime.watch({ signal })[Symbol.asyncIterator]();
    const next = events.next();
    await runtime.create(machine.spec);
    expect((await next).value).toMatchObject({
      type: "exited",
      machineId: machine.id,
      reason: expect.stringMatching(/^agent exited with code 1: .*no-such-file\.cjs/s),
    });
    await events.return?.();
  });
});
