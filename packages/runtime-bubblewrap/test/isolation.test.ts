/** What is particular to machines that share the host's kernel and /usr. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { newId } from "@insien/protocol";
import { mustHave } from "@insien/test-kit";
import { Workbench, type WorkbenchMachine } from "./workbench.fixture.ts";

const isRoot = process.geteuid?.() === 0;

describe("isolation", () => {
  let bench: Workbench;
  let machine: WorkbenchMachine;
  let other: WorkbenchMachine;
  beforeAll(async () => {
    bench = await Workbench.open();
    [machine, other] = await Promise.all([bench.machine(), bench.machine()]);
  });
  afterAll(async () => await bench?.[Symbol.asyncDispose]());

  const firstPid = async ({ id }: WorkbenchMachine): Promise<number> => {
    const record = JSON.parse(await readFile(bench.path(id, "machine.json"), "utf8")) as {
      processes: { first: { pid: number } };
    };
    return record.processes.first.pid;
  };
  const hostUid = async (of: WorkbenchMachine): Promise<number> => {
    const status = await readFile(`/proc/${await firstPid(of)}/status`, "utf8");
    return Number(/^Uid:\t(\d+)\t/m.exec(status)?.[1]);
  };

  test("seven namespaces are its own", async () => {
    const pid = await firstPid(machine);
    for (const name of ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"]) {
      const inside = await readlink(`/proc/${pid}/ns/${name}`);
      expect(inside).not.toBe(await readlink(`/proc/self/ns/${name}`));
      expect(inside).not.toBe(await readlink(`/proc/${await firstPid(other)}/ns/${name}`));
    }
  });

  test("runs as user 1000 with no capability and no way to more", async () => {
    expect((await machine.shell("id -u; id -un; id -G")).stdout).toBe("1000\nuser\n1000\n");
    const status = await machine.shell("cat /proc/self/status");
    for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) {
      expect(status.stdout).toMatch(new RegExp(`^Cap${set}:\\t0+$`, "m"));
    }
    expect(status.stdout).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status.stdout).toMatch(/^Seccomp:\t2$/m);
    expect((await machine.shell("unshare -U true")).exitCode).not.toBe(0);
  });

  test.skipIf(!mustHave(isRoot, "root, to give each machine a user of its own"))(
    "each machine is a host user of its own, never root",
    async () => {
      const uids = [await hostUid(machine), await hostUid(other)];
      expect(new Set(uids).size).toBe(2);
      for (const uid of uids) expect(uid).toBeGreaterThan(1_000_000);
      // Only user 1000 is mapped: nothing inside can be made to mean root outside.
      const maps = await machine.shell("cat /proc/self/uid_map /proc/self/gid_map");
      expect(
        maps.stdout
          .trim()
          .split("\n")
          .map((line) => line.trim().split(/\s+/)[0]),
      ).toEqual(["1000", "1000"]);
      await machine.shell("touch mine");
      const { stdout } = await promisify(execFile)("stat", [
        "-c",
        "%u",
        bench.path(machine.id, "home/mine"),
      ]);
      expect(Number(stdout)).toBe(uids[0]);
    },
  );

  test("the host's secrets are not there", async () => {
    const hidden = [
      "/etc/shadow",
      "/etc/gshadow",
      "/etc/ssh",
      "/etc/ssl/private",
      "/root",
      "/var/lib",
      "/var/run/docker.sock",
      "/boot",
      "/work",
      "/sys/kernel",
      "/sys/class",
      "/dev/kmsg",
      "/dev/mem",
      "/dev/sda",
      "/dev/kvm",
      "/dev/vda",
    ];
    const { stdout } = await machine.shell(`ls -d ${hidden.join(" ")} 2>/dev/null`);
    expect(stdout).toBe("");
    expect((await machine.shell("cat /etc/passwd")).stdout.trim().split("\n")).toHaveLength(3);
    expect((await machine.shell("ls /home")).stdout).toBe("user\n");
    expect((await machine.shell("ls -A /tmp")).stdout).not.toContain("insien");
    expect((await machine.shell("cat /proc/kcore /proc/kmsg 2>/dev/null | head -c 1")).stdout).toBe(
      "",
    );
  });

  test("the system cannot be written to", async () => {
    const targets = [
      "/",
      "/usr",
      "/usr/bin",
      "/etc",
      "/etc/passwd",
      "/dev",
      "/var",
      "/sys/fs/cgroup",
      "/sys/fs/cgroup/memory",
      "/proc/sys/kernel",
      "/insien",
      "/insien/kit",
      "/insien/line",
      "/home",
    ];
    for (const target of targets) {
      const { exitCode } = await machine.shell(
        `touch ${target}/x 2>/dev/null || echo >> ${target}`,
      );
      expect(exitCode, target).not.toBe(0);
    }
    const knobs = [
      "/proc/sys/kernel/hostname",
      "/proc/sys/kernel/core_pattern",
      "/proc/sysrq-trigger",
      "/proc/sys/vm/drop_caches",
      "/proc/1/oom_score_adj_min",
    ];
    for (const knob of knobs) {
      expect((await machine.shell(`echo 1 > ${knob}`)).exitCode, knob).not.toBe(0);
    }
    const groups = await machine.shell(
      "echo 1 > $(find /sys/fs/cgroup -name 'pids.max' | head -1)",
    );
    expect(groups.exitCode).not.toBe(0);
  });

  test("what it may write is its home, /tmp, /run and shared memory", async () => {
    for (const directory of ["/home/user", "/tmp", "/var/tmp", "/run", "/dev/shm"]) {
      expect((await machine.shell(`echo x > ${directory}/x`)).exitCode, directory).toBe(0);
    }
    expect((await other.shell("ls /home/user /tmp /run /dev/shm | grep -x x")).stdout).toBe("");
  });

  test("no descriptor of the orchestrator comes along", async () => {
    const { stdout } = await machine.shell("for f in /proc/1/fd/*; do readlink $f; done");
    const files = stdout.split("\n").filter((line) => line.startsWith("/"));
    const own = bench.path(machine.id, "log");
    const harmless = (path: string) => path === own || /^\/(dev\/null|insien\/|proc\/)/.test(path);
    expect(files.filter((path) => !harmless(path))).toEqual([]);
  });

  test("abstract unix sockets of the host are out of reach", async () => {
    const name = `insien-${newId()}`;
    const server = createServer((socket) => socket.destroy()).listen(`\0${name}`);
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const connect =
      "import socket, sys; socket.socket(socket.AF_UNIX).connect('\\0' + sys.argv[1])";
    expect((await machine.python(connect, name)).stderr).toContain("ConnectionRefusedError");
  });

  test("processes and signals stay inside", async () => {
    const { stdout } = await machine.shell("ls /proc | grep -c '^[0-9]'");
    expect(Number(stdout)).toBeLessThan(20);
    await machine.shell(`kill -9 -1 & kill -9 ${process.pid}`).catch(() => undefined);
    await other.line.rpc("ping", {});
  });

  test("a destroyed machine's links and depths lead the host nowhere", async () => {
    const outside = await mkdtemp(join(tmpdir(), "insien-outside-"));
    onTestFinished(() => rm(outside, { recursive: true, force: true }));
    await writeFile(join(outside, "kept"), "kept");
    const trap = await bench.machine();
    const deep =
      "for i in $(seq 400); do mkdir dddddddddddddddddddd && cd dddddddddddddddddddd; done";
    await trap.shell(
      `ln -s ${outside} link; ln -s / root; mkdir locked; touch locked/f; chmod 0 locked; ${deep}`,
    );
    expect(await bench.runtime.destroy(trap.id)).toBe(true);
    expect(await readdir(outside)).toEqual(["kept"]);
    expect(await readdir(join(bench.directory, "data", "machines"))).not.toContain(trap.id);
  });
});
