/**
 * `internet`, against an internet made for the test: a network namespace behind a veth pair, with
 * an address that no range of private addresses holds.
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mustHave, waitFor } from "@insien/test-kit";
import { findProgram } from "../src/programs.ts";
import { Workbench, type WorkbenchMachine } from "./workbench.fixture.ts";

const HOST_ADDRESS = "11.22.33.1";
const PUBLIC_ADDRESS = "11.22.33.2";
const PORT = 8099;
const NAMESPACE = `insien-test-${process.pid}`;
const DEVICE = `insv${process.pid % 100_000}`;
const SERVE = `use IO::Socket::INET; $| = 1;
  my $s = IO::Socket::INET->new(LocalPort => ${PORT}, Listen => 5, ReuseAddr => 1) or die;
  print "ready\\n"; while (my $c = $s->accept) { print $c "public\\n"; close $c; }`;

const isRoot = process.geteuid?.() === 0;
const ipPath = (await findProgram("ip")) ?? "";
const able = isRoot && ipPath !== "" && (await findProgram("slirp4netns")) !== undefined;
const ip = async (line: string) => await promisify(execFile)(ipPath, line.split(" "));

describe.skipIf(!mustHave(able, "root, iproute2 and slirp4netns"))("network internet", () => {
  let bench: Workbench;
  let machine: WorkbenchMachine;
  let server: ReturnType<typeof spawn>;
  beforeAll(async () => {
    await ip(`netns add ${NAMESPACE}`);
    await ip(`link add ${DEVICE} type veth peer name public0 netns ${NAMESPACE}`);
    await ip(`address add ${HOST_ADDRESS}/30 dev ${DEVICE}`);
    await ip(`link set ${DEVICE} up`);
    await ip(`-n ${NAMESPACE} address add ${PUBLIC_ADDRESS}/30 dev public0`);
    await ip(`-n ${NAMESPACE} link set public0 up`);
    server = spawn(ipPath, ["netns", "exec", NAMESPACE, "perl", "-e", SERVE], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (server.stdout !== null) await once(server.stdout, "data");
    bench = await Workbench.open();
    machine = await bench.machine({ network: "internet" });
  });
  afterAll(async () => {
    await bench?.[Symbol.asyncDispose]();
    server?.kill("SIGKILL");
    await ip(`netns delete ${NAMESPACE}`);
    await ip(`link delete ${DEVICE}`).catch(() => undefined);
  });

  const reached = async (of: WorkbenchMachine, address: string, port = PORT): Promise<string> => {
    const line = `exec 3<>/dev/tcp/${address}/${port} && cat <&3`;
    const args = ["5", "bash", "-c", line];
    const { stdout, stderr } = await of.line.rpc("exec", { cmd: "timeout", args });
    return stdout + stderr;
  };

  test("a public address is reached", async () => {
    expect(await reached(machine, PUBLIC_ADDRESS)).toBe("public\n");
  });

  test("the host is not, by any address it has", async () => {
    const listener = createServer((socket) => socket.end("host\n")).listen(PORT, "0.0.0.0");
    await once(listener, "listening");
    try {
      for (const address of [
        HOST_ADDRESS,
        "10.0.2.2",
        "10.0.2.3",
        "172.17.0.1",
        "169.254.169.254",
      ]) {
        const answer = await reached(machine, address);
        expect(answer, address).toMatch(/unreachable|No route|refused|denied/i);
      }
    } finally {
      listener.close();
    }
  });

  test("the routes cannot be changed from inside", async () => {
    const { exitCode } = await machine.shell(`ip route del unreachable 10.0.0.0/8`);
    expect(exitCode).not.toBe(0);
  });

  test("the network ends with its machine", async () => {
    const short = await bench.machine({ network: "internet" });
    const running = async () => {
      const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
      return stdout.split("\n").filter((line) => /^\S*slirp4netns /.test(line)).length;
    };
    const before = await running();
    await bench.runtime.destroy(short.id);
    await waitFor(async () => (await running()) < before);
  });

  test("an update brings it to a running machine and takes it away", async () => {
    const late = await bench.machine({ network: "none" });
    expect(await reached(late, PUBLIC_ADDRESS)).toMatch(/unreachable/);
    await bench.runtime.update(late.id, { network: "internet" });
    expect(await reached(late, PUBLIC_ADDRESS)).toBe("public\n");
    await bench.runtime.update(late.id, { network: "none" });
    expect(await reached(late, PUBLIC_ADDRESS)).toMatch(/unreachable/);
    await bench.runtime.update(late.id, { network: "internet" });
    expect(await reached(late, PUBLIC_ADDRESS)).toBe("public\n");
  });
});
