/**
 * Goal: from inside a sandbox there is nothing but the sandbox. Everything here is tried by programs
 * that run in a sandbox of the real product, as its users would run them, root included where there
 * is one.
 */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type Server, createServer } from "node:net";
import { homedir, networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@insien/protocol";
import { Sandbox, SandboxError } from "@insien/sandbox";
import { type TestServer, startServer } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const CANARY = `canary-${newId()}`;
const ANSWER_MS_MAX = 3_000;
/** Never routed on the public internet, or this machine's own; 169.254.169.254 tells clouds' secrets. */
const FORBIDDEN = [
  "127.0.0.1",
  "10.0.0.1",
  "172.17.0.1",
  "192.168.0.1",
  "169.254.169.254",
  "100.64.0.1",
];

/** Addresses of this host that a sandbox might try. */
const hostAddresses = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .filter(({ family, internal }) => family === "IPv4" && !internal)
  .map(({ address }) => address);

describe.each(presentRuntimes)("inside a sandbox on %s", (runtime) => {
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };
  let sandbox: Sandbox;
  let other: Sandbox;
  /** Whom commands can run as. */
  let users: (string | undefined)[];
  const canaries: string[] = [];

  beforeAll(async () => {
    server = await startServer({ runtime });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
    [sandbox, other] = await Promise.all([Sandbox.create(connection), Sandbox.create(connection)]);
    users = runtime === "docker" ? [undefined, "root"] : [undefined];
    for (const parent of [tmpdir(), homedir(), "/var/lib"]) {
      const directory = await mkdtemp(join(parent, "insien-canary-"));
      canaries.push(directory);
      await writeFile(join(directory, CANARY), CANARY, { mode: 0o644 });
    }
  });
  afterAll(async () => {
    for (const directory of canaries) await rm(directory, { recursive: true, force: true });
    await server?.[Symbol.asyncDispose]();
  });

  const sh = async (line: string, user?: string, target: Sandbox = sandbox) => {
    const options = { timeoutMs: 60_000, ...(user === undefined ? {} : { user }) };
    const { stdout, stderr } = await target.commands.run(line, options);
    return stdout + stderr;
  };

  test("no file of the host is found, by whatever path", async () => {
    for (const user of users) {
      const roots = "/ /proc/*/root /proc/*/cwd /proc/1/task/1/root /dev/fd /proc/self/fd";
      const paths = canaries.map((directory) => join(directory, CANARY));
      const tries = paths.flatMap((path) => [
        path,
        `/proc/1/root${path}`,
        `/proc/self/root/../../..${path}`,
      ]);
      expect(await sh(`cat ${tries.join(" ")} 2>/dev/null`, user)).toBe("");
      const found = await sh(`find ${roots} -xdev -maxdepth 6 -name '${CANARY}' 2>/dev/null`, user);
      expect(found).toBe("");
      expect(await sh("grep -c insien-canary /proc/self/mountinfo /proc/mounts", user)).not.toMatch(
        /:[1-9]/,
      );
    }
  });

  test("no socket of Docker's or of the host's", async () => {
    for (const user of users) {
      const sockets = await sh(
        "find / -xdev -type s 2>/dev/null; ls /var/run/docker.sock /run/docker.sock /run/containerd 2>/dev/null",
        user,
      );
      expect(
        sockets.split("\n").filter((path) => path !== "" && path !== "/insien/line/line.sock"),
      ).toEqual([]);
    }
  });

  test("no block device, no kernel memory, no mount, no module, no other namespace", async () => {
    for (const user of users) {
      expect(
        await sh("find /dev -type b 2>/dev/null; ls /dev/mem /dev/kmsg /dev/kvm 2>/dev/null", user),
      ).toBe("");
      for (const attempt of [
        ...[
          "mount -t tmpfs none /mnt",
          "mknod /tmp/disk b 254 0",
          "unshare -m true",
          "unshare -U true",
        ],
        ...[
          "nsenter -t 1 -m true",
          "echo 1 > /proc/sys/kernel/sysrq",
          "echo x > /proc/sys/kernel/core_pattern",
        ],
        ...["chroot / true", "dmesg", "swapoff -a && false", "date -s 2001-01-01"],
      ]) {
        const line = `{ ${attempt}; } >/dev/null 2>&1 && echo it worked`;
        expect(await sh(line, user), `${attempt} as ${user ?? "the default user"}`).not.toContain(
          "it worked",
        );
      }
    }
  });

  test("no process, file, socket or traffic of another sandbox", async () => {
    const mark = newId();
    await other.files.write("/tmp/shared-name", mark);
    await other.commands.start(["sleep", `1000.${Date.now()}`], { env: { MARK: mark } });
    // An abstract unix socket has no file, only a network namespace.
    const listen = `import socket,time; s=socket.socket(socket.AF_UNIX); s.bind("\\x00${mark}"); s.listen();
t=socket.socket(); t.bind(("0.0.0.0", 7777)); t.listen(); time.sleep(1000)`;
    const hasPython = (await sh("command -v python3", undefined, other)) !== "";
    if (hasPython) {
      await other.commands.start(["python3", "-c", listen]);
      await other.ports.waitFor(7777);
      expect(await sh("cat /proc/net/unix", undefined, other)).toContain(mark);
    }
    for (const user of users) {
      expect(
        await sh(
          "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'",
          user,
        ),
      ).not.toContain(mark);
      expect(await sh("cat /tmp/shared-name 2>/dev/null; cat /proc/net/unix", user)).not.toContain(
        mark,
      );
      expect(await sh("cat /proc/net/tcp", user)).not.toMatch(/:1E61 /);
    }
    const mine = await sandbox.ports.list();
    expect(mine.map(({ port }) => port)).not.toContain(7777);
  });

  test("the line's token and Insien's own settings are in no command's environment", async () => {
    expect(await sh("env")).not.toMatch(/INSIEN_|JWT_SECRET|API_KEY|DATABASE_URL/);
    expect(await sh("tr '\\0' '\\n' < /proc/1/environ")).not.toMatch(
      /INSIEN_TOKEN=|JWT_SECRET|API_KEY|DATABASE_URL/,
    );
    expect(await sh("cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'")).not.toContain(
      server.apiKey,
    );
  });

  test("a machine's token opens its own line and no other", async () => {
    const token = (await sh("cat /insien/line/token")).trim();
    // Whoever is inside may take the agent's place on this machine; that is all it can be used for.
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
      sub?: string;
    };
    const theirs = (await sh("cat /insien/line/token", undefined, other)).trim();
    const otherId = (
      JSON.parse(Buffer.from(theirs.split(".")[1] ?? "", "base64url").toString()) as { sub: string }
    ).sub;
    expect(claims.sub).not.toBe(otherId);
    for (const base of [server.url, server.webSocketUrl.replace("ws", "http")]) {
      const { WebSocket } = await import("ws");
      const socket = new WebSocket(
        `${base.replace("http", "ws")}/line/${otherId}`,
        ["insien-line.v1"],
        {
          headers: { authorization: `Bearer ${token}` },
        },
      );
      socket.on("error", () => undefined);
      await once(socket, "close");
    }
    expect(await sh("echo still mine", undefined, other)).toBe("still mine\n");
  });

  describe.each(["none", "internet"] as const)("with the network %s", (network) => {
    let listener: Server;
    let connections = 0;
    let networked: Sandbox | undefined;

    beforeAll(async () => {
      listener = createServer((socket) => {
        connections += 1;
        socket.destroy();
      }).listen(0, "0.0.0.0");
      await once(listener, "listening");
      networked = await Sandbox.create({ ...connection, network }).catch((error: unknown) => {
        if (error instanceof SandboxError && error.code === "capability_missing") return undefined;
        throw error;
      });
    });
    afterAll(async () => {
      listener.close();
      await networked?.destroy();
    });

    test("no private range and no listener of the host is reached", async ({ skip }) => {
      if (networked === undefined) return skip(`this runtime has no network '${network}' here`);
      const address = listener.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      const apiPort = new URL(server.url).port;
      const hosts = [...new Set([...FORBIDDEN, ...hostAddresses])];
      const targets = hosts.flatMap((host) =>
        [port, apiPort, 22, 80].map((each) => `${host}/${each}`),
      );
      for (const user of users) {
        const tries = targets.map(
          (target) => `(timeout 4 bash -c 'exec 3<>/dev/tcp/${target}' && echo ${target}) &`,
        );
        expect(
          await sh(
            `bash -c "${tries.join(" ").replaceAll('"', '\\"')} wait" 2>/dev/null`,
            user,
            networked,
          ),
        ).toBe("");
      }
      expect(connections).toBe(0);
    });
  });

  describe("a hog", () => {
    /** Runs a hog while another sandbox and the server are asked again and again; the slowest answer. */
    const slowestBeside = async (hog: (victim: Sandbox) => Promise<unknown>): Promise<number> => {
      const resources = { cpu: 0.5, memory: "128m", pids: 64 };
      await using victim = await Sandbox.create({ ...connection, resources });
      const hogging = hog(victim).catch((error: unknown) => error);
      let done = false;
      void hogging.then(() => (done = true));
      let slowestMs = 0;
      do {
        const begun = performance.now();
        expect((await other.commands.run(["echo", "ok"])).stdout).toBe("ok\n");
        expect((await fetch(`${server.url}/health`)).status).toBe(200);
        slowestMs = Math.max(slowestMs, performance.now() - begun);
        await new Promise((resolve) => setTimeout(resolve, 50)); // slow: leaves the hog its turn
      } while (!done);
      return slowestMs;
    };

    test("of processes is contained", async () => {
      const bomb = "bomb() { bomb | bomb & }; bomb; sleep 5; ls -d /proc/[0-9]* | wc -l";
      let seen = 0;
      const slowest = await slowestBeside(async (victim) => {
        seen = Number(
          (await victim.commands.run(["bash", "-c", bomb], { timeoutMs: 20_000 })).stdout,
        );
      });
      expect(seen).toBeLessThanOrEqual(70);
      expect(slowest).toBeLessThan(ANSWER_MS_MAX);
    });

    test("of memory is contained", async () => {
      let survived: string | undefined;
      const slowest = await slowestBeside(async (victim) => {
        // Bounded by itself, should the limit not hold.
        const hog = "head -c 900M /dev/zero | tail | wc -c";
        survived = (await victim.commands.run(hog, { timeoutMs: 40_000 })).stdout.trim();
      });
      expect(survived).not.toBe(String(900 * 1024 * 1024));
      expect(slowest).toBeLessThan(ANSWER_MS_MAX);
    });

    test("of descriptors and of output is contained", async () => {
      const slowest = await slowestBeside(async (victim) => {
        const { truncated } = await victim.commands.run("timeout 5 yes", { timeoutMs: 30_000 });
        expect(truncated).toBeDefined();
        await victim.commands.run(
          'ulimit -n; for i in $(seq 1 70000); do eval "exec $((i+10))</dev/null" || break; done 2>/dev/null',
        );
      });
      expect(slowest).toBeLessThan(ANSWER_MS_MAX);
    });

    test("of shared memory fills no more than the sandbox's memory", async () => {
      const slowest = await slowestBeside(async (victim) => {
        await victim.commands
          .run("head -c 400M /dev/zero > /dev/shm/hog; stat -c %s /dev/shm/hog", {
            timeoutMs: 40_000,
          })
          .then(({ stdout }) => {
            expect(Number(stdout.trim() || 0)).toBeLessThan(130 * 1024 * 1024);
          });
      });
      expect(slowest).toBeLessThan(ANSWER_MS_MAX);
    });
  });
});
