import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { homedir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, type TestContext, vi } from "vitest";
import { MACHINE_PATHS, newId } from "@insien/protocol";
import type { Bench, TestMachine } from "./bench.ts";
import { hostAddresses } from "./host-view.ts";

/** Listens on every address of the host and counts who came. */
async function hostListener(): Promise<{ port: number; connections: () => number }> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  server.listen(0, "::");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  return { port: address.port, connections: () => connections };
}

/** Whether bash in the machine opens a TCP connection to it within three seconds. */
async function reaches(machine: TestMachine, host: string, port: number): Promise<boolean> {
  const line = `timeout 3 bash -c 'exec 3<>/dev/tcp/${host}/${port}'`;
  return (await machine.bash(line)).exitCode === 0;
}

async function hostReaches(host: string, port: number): Promise<boolean> {
  return await fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(5_000) }).then(
    () => true,
    () => false,
  );
}

/** Perl, because it is in every Debian and can listen. */
const LISTEN = `use IO::Socket::INET; my $server = IO::Socket::INET->new(LocalPort => 8080,
  LocalAddr => "0.0.0.0", Listen => 5, ReuseAddr => 1) or die; while ($server->accept) {}`;

/** A public name that answers on port 80 wherever Debian machines have an internet. */
const PUBLIC_HOST = "deb.debian.org";

/** Addresses of the machine's own default routes, as the kernel shows them. */
async function gateways(machine: TestMachine): Promise<string[]> {
  const { stdout } = await machine.shell("cat /proc/net/route");
  const rows = stdout
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"));
  return rows
    .map(([, , gateway]) => gateway)
    .filter((gateway) => gateway !== undefined && gateway !== "00000000")
    .map((gateway) =>
      Buffer.from(gateway ?? "", "hex")
        .reverse()
        .join("."),
    );
}

export const isolationCases = {
  "network none has no interface but loopback": async (bench: Bench) => {
    const machine = await bench.machine({ network: "none" });
    const { stdout } = await machine.shell("cat /proc/net/dev");
    const interfaces = stdout.split("\n").slice(2).filter(Boolean);
    expect(interfaces.map((line) => line.split(":")[0]?.trim())).toEqual(["lo"]);
    const { port, connections } = await hostListener();
    for (const address of [...hostAddresses(), "127.0.0.1"]) {
      expect(await reaches(machine, address, port), `reaches ${address}`).toBe(false);
    }
    expect(connections()).toBe(0);
  },

  "network internet reaches neither the host nor private ranges": async (bench: Bench) => {
    const machine = await bench.machine({ network: "internet" });
    const { port, connections } = await hostListener();
    const targets = [...hostAddresses(), ...(await gateways(machine)), "127.0.0.1"];
    for (const address of targets) {
      expect(await reaches(machine, address, port), `reaches ${address}`).toBe(false);
    }
    for (const address of ["10.0.0.1", "172.17.0.1", "192.168.0.1", "169.254.169.254"]) {
      expect(await reaches(machine, address, 80), `reaches ${address}`).toBe(false);
    }
    expect(connections()).toBe(0);
  },

  "network internet reaches public names": async (bench: Bench, context: TestContext) => {
    const reason = `the host itself does not reach ${PUBLIC_HOST}, so no sandbox of it can`;
    context.skip(!(await hostReaches(PUBLIC_HOST, 80)), reason);
    const machine = await bench.machine({ network: "internet" });
    expect(await reaches(machine, PUBLIC_HOST, 80)).toBe(true);
  },

  "network internet keeps its rules after stop and start": async (bench: Bench) => {
    const machine = await bench.machine({ network: "internet" });
    await bench.runtime.stop(machine.id);
    await bench.runtime.start(machine.id);
    await machine.line.hello();
    const { port, connections } = await hostListener();
    for (const address of [...hostAddresses(), ...(await gateways(machine))]) {
      expect(await reaches(machine, address, port), `reaches ${address}`).toBe(false);
    }
    expect(connections()).toBe(0);
  },

  "machines do not see or reach each other": async (bench: Bench) => {
    const [one, other] = await Promise.all([
      bench.machine({ network: "internet" }),
      bench.machine({ network: "internet" }),
    ]);
    await other.line.rpc("start", { cmd: "perl", args: ["-e", LISTEN], background: true });
    await vi.waitFor(async () => expect(await reaches(other, "127.0.0.1", 8080)).toBe(true), 5_000);
    const { stdout } = await other.shell("cat /proc/net/fib_trie");
    const addresses = new Set(stdout.match(/\d+\.\d+\.\d+\.\d+(?=\n\s+\/32 host LOCAL)/g));
    for (const address of addresses) {
      expect(await reaches(one, address, 8080), `reaches ${address}`).toBe(false);
    }
    const processes = await one.shell("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null");
    expect(processes.stdout).not.toContain("IO::Socket");
    expect(processes.stdout).not.toContain(other.id);
  },

  "no host files, no docker socket": async (bench: Bench) => {
    const secret = `secret-${newId()}`;
    const directories = [bench.directory, await mkdtemp(join(homedir(), ".insien-test-"))];
    onTestFinished(() => rm(directories[1] ?? "", { recursive: true, force: true }));
    await Promise.all(directories.map((directory) => writeFile(`${directory}/secret`, secret)));
    const machine = await bench.machine();
    for (const directory of directories) {
      const { stdout } = await machine.shell(
        `cat ${directory}/secret /proc/1/root${directory}/secret`,
      );
      expect(stdout).not.toContain(secret);
    }
    const sockets = "/var/run/docker.sock /run/docker.sock /run/containerd/containerd.sock";
    const found = await machine.shell(`for s in ${sockets}; do [ -e $s ] && echo $s; done; true`);
    expect(found.stdout).toBe("");
  },

  "no host processes are seen": async (bench: Bench) => {
    const machine = await bench.machine();
    const { stdout } = await machine.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    expect(stdout).toContain("agent");
    expect(stdout).not.toContain("vitest");
  },

  "line and kit are read-only": async (bench: Bench) => {
    const machine = await bench.machine();
    const before = await readdir(machine.spec.lineDirectory);
    const { users } = await bench.runtime.capabilities();
    for (const directory of [MACHINE_PATHS.line, MACHINE_PATHS.kit]) {
      const tries = [
        `touch ${directory}/new`,
        `mv ${directory}/line.sock ${directory}/old`,
        `rm -rf ${directory}/*`,
        `mount -o remount,bind,rw ${directory} && touch ${directory}/new`,
      ];
      for (const line of tries) {
        for (const who of users ? [{ user: "root" }, {}] : [{}]) {
          const run = await machine.line.rpc("exec", { shell: line, ...who });
          expect(run.exitCode, `${line} as ${JSON.stringify(who)}`).not.toBe(0);
        }
      }
    }
    expect(await readdir(machine.spec.lineDirectory)).toEqual(before);
    await machine.line.hello();
  },
};
