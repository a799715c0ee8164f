/**
 * Goal: when a machine dies, everyone concerned knows it at once. The agent is killed with SIGKILL
 * from outside; within two seconds the sandbox has failed and says why, and whoever was connected
 * gets a typed error instead of silence.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Sandbox, SandboxError } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const run = promisify(execFile);
const FAILED_WITHIN_MS = 2_000;

/** Kills the first process of the machine that runs `marker`, seen from the host. */
async function killMachineOf(marker: string): Promise<void> {
  const { stdout } = await run("pgrep", ["-f", `^sleep ${marker}$`]);
  let pid = Number(stdout.trim().split("\n")[0]);
  for (;;) {
    const parent = Number((await run("ps", ["-o", "ppid=", "-p", String(pid)])).stdout.trim());
    const { stdout: command } = await run("ps", ["-o", "args=", "-p", String(parent)]);
    pid = parent;
    if (command.includes("/insien/kit/agent.cjs")) break;
  }
  process.kill(pid, "SIGKILL");
}

describe.each(presentRuntimes)("a machine killed on %s", (runtime) => {
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };

  beforeAll(async () => {
    server = await startServer({ runtime });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test("fails its sandbox with a reason, and its clients with a typed error, within two seconds", async () => {
    const sandbox = await Sandbox.create(connection);
    const marker = String(100_000 + Math.floor(Math.random() * 100_000));
    const command = await sandbox.commands.start(["sleep", marker]);
    const ended = command.wait().catch((error: unknown) => error);
    await waitFor(() => run("pgrep", ["-f", `^sleep ${marker}$`]), {
      describe: "the command to run",
    });

    const killedAt = performance.now();
    await killMachineOf(marker);
    const info = await waitFor(
      async () => {
        const now = await sandbox.info();
        return now.state === "failed" ? now : undefined;
      },
      { timeoutMs: FAILED_WITHIN_MS, describe: "the sandbox to have failed" },
    );
    expect(info.stateReason).toMatch(/machine ended|removed/i);
    const error = await ended;
    expect(performance.now() - killedAt).toBeLessThan(FAILED_WITHIN_MS);
    expect(error).toBeInstanceOf(SandboxError);
    expect((error as SandboxError).code).toBe("sandbox_failed");

    const next = await sandbox.commands.run("true").catch((failure: unknown) => failure);
    expect(next).toBeInstanceOf(SandboxError);
    expect((next as SandboxError).code).toBe("sandbox_failed");
    expect(await sandbox.destroy()).toBe(true);
  });
});
