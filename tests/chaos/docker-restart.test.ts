/**
 * Goal: the Docker daemon may crash, stop and come back, and nobody has to look after Insien. What
 * died with it is failed with a reason, new sandboxes are made as soon as it answers, the
 * orchestrator goes on, and no container is left that nobody owns.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type CommandResult, Sandbox, SandboxError } from "@insien/sandbox";
import { type TestServer, mustHave, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";
import { PrivateDocker } from "./private-docker.ts";

const IMAGE = "debian:bookworm-slim";
const RECOVERED_MS = 60_000;

const canStartOne = mustHave(
  presentRuntimes.includes("docker") &&
    process.getuid?.() === 0 &&
    (await promisify(execFile)("dockerd", ["--version"]).then(
      () => true,
      () => false,
    )),
  "root and dockerd, to start a Docker daemon of the test's own",
);

describe.skipIf(!canStartOne)("a Docker daemon that goes away", () => {
  let docker: PrivateDocker;
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };

  beforeAll(async () => {
    docker = await PrivateDocker.start();
    await docker.load(IMAGE);
    const env = { DOCKER_HOST: docker.host, AGENT_IMAGE: IMAGE };
    server = await startServer({ runtime: "docker", poolSize: 1, env });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await docker?.[Symbol.asyncDispose]();
  });

  const failedWithReason = (sandbox: Sandbox) =>
    waitFor(
      async () => {
        const info = await sandbox.info();
        return info.state === "failed" ? info.stateReason : undefined;
      },
      { timeoutMs: RECOVERED_MS, describe: "the sandbox to have failed" },
    );

  const created = () =>
    waitFor(() => Sandbox.create(connection), {
      timeoutMs: RECOVERED_MS,
      intervalMs: 500,
      describe: "a new sandbox",
    });

  /** A daemon ends containers with SIGTERM first, which the agent passes on to what runs inside. */
  const endOf = async (waiting: Promise<CommandResult>) => {
    const end = await waiting.catch((error: unknown) => error);
    if (!(end instanceof SandboxError)) expect(end).toMatchObject({ signal: "SIGTERM" });
  };

  /** Containers that carry the server's label, by the names of those that no sandbox accounts for. */
  const nothingOrphaned = async (running: number) => {
    const owner = (await readFile(join(server.dataDirectory, "node-id"), "utf8")).trim();
    await waitFor(
      async () => {
        const list = await docker.ask(
          "ps",
          "--all",
          "--filter",
          `label=insien.owner=${owner}`,
          "--format",
          "{{.State}}",
        );
        const states = list.split("\n").filter(Boolean);
        // The pool holds one more.
        if (states.every((state) => state === "running") && states.length === running + 1)
          return true;
        throw new Error(`containers: ${states.join(", ")}`);
      },
      { timeoutMs: RECOVERED_MS, intervalMs: 500, describe: `${running} sandboxes and the pool` },
    );
  };

  test("killed and started again", async () => {
    const { pid } = server;
    const sandbox = await Sandbox.create(connection);
    const command = await sandbox.commands.start(["sleep", "1000"]);
    const ended = endOf(command.wait());
    await docker.stop("SIGKILL");
    // Containers and their lines do not need the daemon.
    expect((await sandbox.commands.run(["echo", "still here"])).stdout).toBe("still here\n");
    const refused = await Sandbox.create({ ...connection, image: IMAGE }).catch(
      (error: unknown) => error,
    );
    expect(refused).toBeInstanceOf(SandboxError);
    expect((refused as SandboxError).retryable).toBe(true);
    expect((refused as SandboxError).message).toContain("Docker does not answer");

    await docker.start();
    // A daemon without live-restore ends the containers that it finds running.
    expect(await failedWithReason(sandbox)).toMatch(/machine/i);
    await ended;
    await using next = await created();
    expect((await next.commands.run(["echo", "new"])).stdout).toBe("new\n");
    await nothingOrphaned(1);
    expect(server.pid).toBe(pid);
  });

  test("stopped in order and started again", async () => {
    const { pid } = server;
    const sandbox = await created();
    const command = await sandbox.commands.start(["sleep", "1000"]);
    const ended = endOf(command.wait());
    await docker.stop("SIGTERM");
    await docker.start();
    expect(await failedWithReason(sandbox)).toMatch(/machine/i);
    await ended;
    await using next = await created();
    expect((await next.commands.run(["echo", "new"])).stdout).toBe("new\n");
    await nothingOrphaned(1);
    expect(server.pid).toBe(pid);
  });
});
