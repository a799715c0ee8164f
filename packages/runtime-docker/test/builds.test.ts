import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { newId } from "@insien/protocol";
import type { BuildRequest, ImageBuilds, Progress } from "@insien/runtime";
import { Bench } from "@insien/runtime/conformance";
import { waitFor } from "@insien/test-kit";
import { describe, expect, onTestFinished, test } from "vitest";
import { hostAddresses } from "../src/guard-rules.ts";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit, leftovers } from "./docker-host.ts";

const DEBIAN = "debian:bookworm-slim";
const text = (lines: string) => Buffer.from(lines);

/** Something that no other test's cache knows. */
const request = (
  dockerfile: string,
  files: Record<string, string> = {},
  changes: Partial<BuildRequest> = {},
): BuildRequest => ({
  files: new Map([
    ["Dockerfile", text(dockerfile)],
    ...Object.entries(files).map(([path, content]) => [path, text(content)] as const),
  ]),
  force: false,
  network: "none",
  ownerId: "someone",
  ...changes,
});

async function openBench(): Promise<{ bench: Bench; builds: ImageBuilds }> {
  const bench = await Bench.open({
    create: (construction) => createDockerRuntime(construction),
    kit,
    template: { name: "debian", image: DEBIAN },
  });
  onTestFinished(async () => {
    await bench[Symbol.asyncDispose]();
    await removeImagesOf(bench.ownerId);
  });
  const { builds } = bench.runtime;
  if (builds === undefined) throw new Error("the Docker runtime builds no images");
  return { bench, builds };
}

/** Children before their parents. */
async function removeImagesOf(ownerId: string): Promise<void> {
  const filters = JSON.stringify({ label: [`insien.owner=${ownerId}`] });
  await waitFor(async () => {
    const images = await docker.listImages({ all: true, filters });
    for (const { Id } of images) {
      await docker
        .getImage(Id)
        .remove({ force: true })
        .catch(() => undefined);
    }
    return images.length === 0;
  });
}

describe.skipIf(!dockerAnswers)("an image built from a context", { timeout: 120_000 }, () => {
  test("becomes a machine with what was built, as the image's user", async () => {
    const { bench, builds } = await openBench();
    const progress: Progress[] = [];
    const files = { "run.sh": "#!/bin/sh\necho ran\n", [`deep/${"long".repeat(40)}/ü.txt`]: "ü" };
    const dockerfile = `FROM insien-base\nUSER root\nCOPY . /opt/context\nRUN /opt/context/run.sh > /opt/made && echo printed\nUSER user\n`;
    const built = await builds.build(request(dockerfile, files), {
      onProgress: (step) => void progress.push(step),
    });
    expect(built).toMatchObject({ cached: false, user: "user" });
    const machine = await bench.machine({ template: built });
    const { stdout } = await machine.shell(
      "whoami; cat /opt/made /opt/context/deep/*/*; ls /opt/context; stat -c %a /opt/context/run.sh",
    );
    expect(stdout).toBe("user\nran\nüDockerfile\ndeep\nrun.sh\n755\n");
    const told = progress.map(({ message }) => message);
    expect(told).toContain("printed");
    expect(told).toContain("Step 2/5 : USER root");
    expect(told.filter((line) => line?.includes("insien.owner"))).toEqual([]);
    expect(progress.findLast(({ current }) => current !== undefined)).toMatchObject({
      step: "build",
      current: 5,
      total: 5,
    });
  });

  test("is answered from the cache while its contents are the same, and built anew by force", async () => {
    const { bench, builds } = await openBench();
    const dockerfile = `FROM ${DEBIAN}\nCOPY file /file\nRUN head -c 8 /dev/urandom | od -x > /random\n`;
    const first = await builds.build(request(dockerfile, { file: "1" }));
    const again = await builds.build(request(dockerfile, { file: "1" }));
    expect(again).toEqual({ ...first, cached: true });
    const other = await builds.build(request(dockerfile, { file: "2" }));
    expect(other.fingerprint).not.toBe(first.fingerprint);
    expect(other.cached).toBe(false);
    const forced = await builds.build(request(dockerfile, { file: "1" }, { force: true }));
    expect(forced.image).toBe(first.image);
    expect(forced.fingerprint).not.toBe(first.fingerprint);
    expect(forced.cached).toBe(false);
    expect(await bench.runtime.prepare({ name: "built", image: first.image })).toMatchObject({
      fingerprint: forced.fingerprint,
    });
  });

  test("has nothing of another owner's steps, nor of those with another network", async () => {
    const { builds } = await openBench();
    const step = "RUN head -c 8 /dev/urandom | od -An -x; head -c 8 /dev/urandom > /random";
    const dockerfile = `FROM ${DEBIAN}\n${step}\n# ${newId()}\n`;
    const printed = async (changes: Partial<BuildRequest>): Promise<string> => {
      const lines: string[] = [];
      // Another file, so that the image is another and its steps alone may be known.
      const built = await builds.build(request(dockerfile, { salt: newId() }, changes), {
        onProgress: ({ message }) => void lines.push(message ?? ""),
      });
      expect(built.cached).toBe(false);
      return lines.filter((line) => /^( [0-9a-f]{4}){4}$/.test(line)).join();
    };
    expect(await printed({})).not.toBe("");
    expect(await printed({})).toBe("");
    expect(await printed({ ownerId: "another" })).not.toBe("");
    expect(await printed({ network: "internet" })).not.toBe("");
  });

  test("tells the step that failed and the end of what it printed", async () => {
    const { bench, builds } = await openBench();
    const dockerfile = `FROM ${DEBIAN}\nRUN echo fine\nRUN echo "no such thing" >&2; exit 3\nRUN echo never\n`;
    await expect(builds.build(request(dockerfile))).rejects.toMatchObject({
      code: "build_failed",
      message: expect.stringMatching(/step 3\/4 \(RUN echo "no such thing".*code: 3/s),
      details: {
        step: expect.stringContaining("exit 3"),
        output: expect.stringMatching(/fine\n.*no such thing\n/s),
      },
    });
    const output = `FROM ${DEBIAN}\nRUN seq 1 100000; exit 1\n`;
    const failed = await builds.build(request(output)).catch((error: unknown) => error);
    const { details } = failed as { details: { output: string } };
    expect(details.output.length).toBeLessThanOrEqual(16 * 1024);
    expect(details.output).toContain("100000\n");
    const containers = (await leftovers(bench.ownerId)).filter((line) => !line.includes("image"));
    expect(containers).toEqual([]);
  });

  test("is refused in words when the Dockerfile or its base is wrong", async () => {
    const { builds } = await openBench();
    const code = "build_failed";
    for (const [dockerfile, step] of [
      ["FROM 127.0.0.1:1/nothing:1\n", "FROM 127.0.0.1:1/nothing:1"],
      [`FROM ${DEBIAN}\nCOPY missing /x\n`, "COPY missing /x"],
      [`FROM ${DEBIAN}\nADD http://127.0.0.1/x /x\n`, "ADD http://127.0.0.1/x /x"],
      ["RUN before from\n", "Dockerfile"],
      ["", "Dockerfile"],
    ]) {
      await expect(builds.build(request(dockerfile ?? ""))).rejects.toMatchObject({
        code,
        message: expect.not.stringContaining("HTTP code"),
        details: { step },
      });
    }
    const label = `FROM ${DEBIAN}\nENV L=insien.machine\nLABEL $L=other\n`;
    await expect(builds.build(request(label))).rejects.toMatchObject({
      code,
      message: expect.stringContaining("insien.machine"),
    });
  });

  test("shows nothing of what others built, whose ids can be tried", async () => {
    const { builds } = await openBench();
    const secret = newId();
    const own = `FROM ${DEBIAN}\nCOPY secret /secret\n`;
    const { fingerprint } = await builds.build(request(own, { secret }));
    const [id = ""] = fingerprint.split("@");
    for (const dockerfile of [
      `FROM ${id}\nRUN cat /secret\n`,
      `FROM ${id.slice(0, "sha256:".length + 12)}\nRUN cat /secret\n`,
      `FROM ${id.slice("sha256:".length, "sha256:".length + 12)}\nRUN cat /secret\n`,
      `FROM ${DEBIAN}\nCOPY --from=${id} /secret /\nRUN cat /secret\n`,
      `FROM ${DEBIAN}\nCOPY --from=${id.slice("sha256:".length, "sha256:".length + 12)} /secret /\nRUN cat /secret\n`,
    ]) {
      const lines: string[] = [];
      const built = builds.build(request(dockerfile, {}, { force: true }), {
        onProgress: ({ message }) => void lines.push(message ?? ""),
      });
      await expect(built).rejects.toMatchObject({ code: "build_failed" });
      expect(lines).not.toContain(secret);
    }
  });

  test("has no host mounts, few processes and bounded memory in its steps", async () => {
    const { builds } = await openBench();
    const limits = [
      "sleep 1",
      "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true",
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null || true",
    ].join("; ");
    const lines: string[] = [];
    const dockerfile = `FROM ${DEBIAN}\nRUN ${limits}\nRUN ls -A /var/run/docker.sock || true\n# ${newId()}\n`;
    await builds.build(request(dockerfile, {}, { force: true }), {
      onProgress: ({ message }) => void lines.push(message ?? ""),
    });
    expect(lines).toContain("1024");
    expect(lines).toContain(String(2 * 1024 ** 3));
    const mount = `FROM ${DEBIAN}\nRUN --mount=type=bind,source=/,target=/x ls /x\n`;
    await expect(builds.build(request(mount))).rejects.toMatchObject({ code: "build_failed" });
  });

  test("that is given up ends its step and leaves no container", async () => {
    const { bench, builds } = await openBench();
    const given = new AbortController();
    const dockerfile = `FROM ${DEBIAN}\nRUN echo started; sleep 1000\n`;
    const building = builds.build(request(dockerfile, {}, { network: "internet" }), {
      signal: given.signal,
      onProgress: ({ message }) => {
        if (message === "started") given.abort();
      },
    });
    await expect(building).rejects.toThrow(/abort/i);
    const left = (await leftovers(bench.ownerId)).filter((line) => !line.includes("image"));
    expect(left).toEqual([]);
    const running = await docker.listContainers({
      filters: JSON.stringify({ status: ["running"] }),
    });
    expect(running.filter(({ Command }) => Command.includes("sleep 1000"))).toEqual([]);
  });
});

/** Frames made by hand, which the rules for sockets do not see, to the gateway's hardware address. */
const RAW_PROBE = `use Socket; my ($address, $port) = @ARGV;
open R, "/proc/net/route"; my ($gw) = map { (split /\\t/)[2] } grep { /^eth0\\t00000000/ } <R>;
my $gateway = join ".", map { hex } reverse $gw =~ /../g;
socket(U, 2, 2, 17); connect(U, sockaddr_in(9, inet_aton("192.0.2.1"))); send(U, "x", 0); sleep 1;
my ($_port, $source) = sockaddr_in(getsockname(U));
open A, "/proc/net/arp"; my ($mac) = map { (split /\\s+/)[3] } grep { /^\\Q$gateway\\E / } <A>;
open M, "/sys/class/net/eth0/address"; chomp(my $own = <M>);
my $bytes = sub { pack "C*", map { hex } split /:/, shift };
socket(S, 17, 3, 0x0300) or die "raw: $!"; open I, "/sys/class/net/eth0/ifindex"; chomp(my $index = <I>);
my $payload = "insien-raw-probe";
my $udp = pack("nnnn", 4000, $port, 8 + length $payload, 0) . $payload;
my $ip = pack("CCnnnCCna4a4", 0x45, 0, 20 + length $udp, 1, 0, 64, 17, 0, $source, inet_aton($address));
my $sum = 0; $sum += $_ for unpack "n*", $ip; $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr($ip, 10, 2) = pack "n", ~$sum & 0xffff;
my $frame = $bytes->($mac) . $bytes->($own) . pack("n", 0x0800) . $ip . $udp;
my $to = pack "SnlSCCa8", 17, 0x0800, $index, 0, 0, 6, $bytes->($mac);
for (1 .. 3) { defined send(S, $frame, 0, $to) or print "send: $!\\n"; }
print "sent to $address by $mac\\n";
`;

describe.skipIf(!dockerAnswers)("the network of a build's steps", { timeout: 120_000 }, () => {
  test("none is none", async () => {
    const { builds } = await openBench();
    const lines: string[] = [];
    await builds.build(
      request(`FROM ${DEBIAN}\nRUN cat /proc/net/dev | wc -l\n`, {}, { force: true }),
      {
        onProgress: ({ message }) => void lines.push(message ?? ""),
      },
    );
    expect(lines).toContain("3");
  });

  test("internet reaches the internet's side and not the host, by sockets", async () => {
    const { bench, builds } = await openBench();
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.destroy();
    }).listen(0, "0.0.0.0");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const targets = [...hostAddresses(), "10.213.0.1", "169.254.169.254"].filter(
      (address) => address !== "127.0.0.1",
    );
    const tries = targets.map(
      (address) =>
        `timeout 3 bash -c 'exec 3<>/dev/tcp/${address}/${port}' && echo reached ${address}`,
    );
    const lines: string[] = [];
    const shell = `cat /proc/net/dev | wc -l; ${tries.join("; ")}; echo done`;
    const dockerfile = `FROM ${DEBIAN}\nRUN ${shell}\n`;
    await builds.build(request(dockerfile, {}, { force: true, network: "internet" }), {
      onProgress: ({ message }) => void lines.push(message ?? ""),
    });
    expect(lines).toContain("4");
    expect(lines).toContain("done");
    expect(lines.filter((line) => line.startsWith("reached"))).toEqual([]);
    expect(connections).toBe(0);
    const left = (await leftovers(bench.ownerId)).filter((line) => !line.includes("image"));
    expect(left).toEqual([]);
  });

  test("internet does not reach the host by packets made by hand", async () => {
    const { builds } = await openBench();
    const socket = createSocket("udp4").bind(0, "0.0.0.0");
    await once(socket, "listening");
    onTestFinished(() => void socket.close());
    const received: string[] = [];
    socket.on("message", (message) => void received.push(message.toString()));
    const { port } = socket.address();
    const targets = hostAddresses().filter((address) => address !== "127.0.0.1");
    const lines: string[] = [];
    const runs = targets.map((address) => `perl /probe.pl ${address} ${port}`).join("; ");
    const dockerfile = `FROM ${DEBIAN}\nCOPY probe.pl /probe.pl\nRUN ${runs}; echo done\n`;
    const files = { "probe.pl": RAW_PROBE };
    await builds.build(request(dockerfile, files, { force: true, network: "internet" }), {
      onProgress: ({ message }) => void lines.push(message ?? ""),
    });
    expect(lines).toContain("done");
    expect(lines.filter((line) => line.startsWith("sent to"))).toHaveLength(targets.length);
    expect(received).toEqual([]);
  });
});
