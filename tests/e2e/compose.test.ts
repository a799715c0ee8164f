/**
 * Goal: `docker-compose up` is all it takes. Server and PostgreSQL are built and started as the file
 * says; a sandbox works, and outlives the server's container.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { newId } from "@insien/protocol";
import { Sandbox } from "@insien/sandbox";
import { mustHave, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const run = promisify(execFile);
const file = join(dirname(dirname(import.meta.dirname)), "deploy/compose/compose.yaml");
const hasCompose = await run("docker-compose", ["version"]).then(
  () => true,
  () => false,
);
/** Two images are built, from the network, where they have not been. */
const BUILD_MS = 15 * 60_000;
const SERVICES_MS = 3 * 60_000;

const canRun = presentRuntimes.includes("docker") && mustHave(hasCompose, "docker-compose");

describe.skipIf(!canRun)("deploy/compose", () => {
  const project = `insien-test-${newId()}`;
  let dataDirectory: string;
  let port: number;
  const compose = async (...args: string[]): Promise<string> => {
    const { stdout } = await run(
      "docker-compose",
      ["--file", file, "--project-name", project, ...args],
      {
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          INSIEN_DATA_DIR: dataDirectory,
          INSIEN_PORT: String(port),
          INSIEN_POOL_SIZE: "0",
          INSIEN_BUILD_NETWORK: "host",
          INSIEN_BUILD_CA_CERTIFICATES: await addedCertificates(),
        },
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    return stdout;
  };
  const whenHealthy = () =>
    waitFor(async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok, {
      timeoutMs: SERVICES_MS,
      intervalMs: 200,
      describe: "the server to be healthy",
    });

  beforeAll(async () => {
    dataDirectory = join(await mkdtemp(join(tmpdir(), "insien-compose-")), "data");
    port = await freePort();
    await compose("build");
    await compose("up", "--detach");
    await whenHealthy();
  }, BUILD_MS);
  afterAll(async () => {
    await compose("down", "--volumes", "--timeout", "30");
    await rm(dirname(dataDirectory), { recursive: true, force: true });
  }, SERVICES_MS);

  test("is a file that docker-compose accepts, profiles included", async () => {
    const services = await compose("--profile", "apart", "config", "--services");
    expect(
      services
        .trim()
        .split("\n")
        .sort((one, other) => one.localeCompare(other)),
    ).toEqual(["database", "monitor", "server", "worker"]);
  });

  test(
    "a sandbox works, and outlives the server's container",
    async () => {
      const apiKey = (
        await compose("exec", "-T", "server", "cat", `${dataDirectory}/api-key`)
      ).trim();
      expect(apiKey).toMatch(/^insien_/);
      const options = { apiKey, apiUrl: `http://127.0.0.1:${port}` };
      const sandbox = await Sandbox.create(options);
      try {
        expect((await sandbox.commands.run("echo $((6 * 7))")).stdout).toBe("42\n");
        await sandbox.files.write("kept.txt", "still here");
        await compose("restart", "server");
        await whenHealthy();
        const again = await Sandbox.connect(sandbox.id, options);
        expect(await again.files.read("kept.txt")).toBe("still here");
        // The container is another one, and the database too was taken up again.
        await compose("up", "--detach", "--force-recreate");
        await whenHealthy();
        expect(await again.files.read("kept.txt")).toBe("still here");
      } finally {
        await sandbox.destroy();
      }
    },
    SERVICES_MS * 2,
  );

  test("the server is not root, and PostgreSQL lets nobody in but it", async () => {
    const { uid, mode } = await stat(dataDirectory);
    expect([uid, mode & 0o777]).toEqual([10_001, 0o711]);
    const processes = await compose("exec", "-T", "server", "cat", "/proc/1/task/1/children");
    const [child] = processes.trim().split(" ");
    const status = await compose("exec", "-T", "server", "cat", `/proc/${child}/status`);
    expect(status).toMatch(/^Uid:\s+10001\s+10001\s+10001\s+10001$/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    const asked = (user: string, role: string) =>
      compose(
        "exec",
        "-T",
        "--user",
        user,
        "database",
        "psql",
        "--username",
        role,
        "--tuples-only",
        "--no-align",
        "--command",
        "select current_user",
        "insien",
      );
    expect((await asked("insien", "insien")).trim()).toBe("insien");
    await expect(asked("nobody", "insien")).rejects.toThrow(/Peer authentication failed/);
    await expect(asked("insien", "postgres")).rejects.toThrow(/Peer authentication failed/);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Those that this host trusts beyond Debian's. */
async function addedCertificates(): Promise<string> {
  const directory = "/usr/local/share/ca-certificates";
  const names = (await readdir(directory).catch(() => [])).filter((name) => name.endsWith(".crt"));
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), "utf8")));
  return texts.join("\n");
}
