import type { Sandbox } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

/** Prints 0, 1, 2, ... so that a gap or a repetition shows. */
const counter = (count: number): string =>
  `i=0; while [ $i -lt ${count} ]; do echo $i; i=$((i+1)); [ $((i % 50)) = 0 ] && sleep 0.02; done`;
const numbers = (count: number): string =>
  Array.from({ length: count }, (_, index) => `${index}\n`).join("");

describe.skipIf(!hasBubblewrap)("lost connections", () => {
  let server: SdkServer;
  let sandbox: Sandbox;
  beforeAll(async () => {
    server = await SdkServer.start();
    sandbox = await server.create();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test("a command's output has no gap and nothing twice, however often they break", async () => {
    let breaks = 0;
    let lines = 0;
    const result = await sandbox.commands.run(counter(2000), {
      gapPolicy: "error",
      onStdout: (text) => {
        lines += text.split("\n").length - 1;
        if (lines < 150 * (breaks + 1) || breaks >= 10) return;
        breaks += 1;
        server.way.break();
      },
    });
    expect(breaks).toBe(10);
    expect(result.stdout).toBe(numbers(2000));
    expect(result.gaps).toEqual([]);
  });

  test("a handle's iteration goes on as well, and stdin still works", async () => {
    const handle = await sandbox.commands.start(["cat"], { stdin: true });
    const lines = handle.stdout.lines();
    await handle.write("before\n");
    expect((await lines.next()).value).toBe("before");
    server.way.break();
    await waitFor(() => handle.write("after\n").then(() => true), {
      describe: "a write to succeed",
    });
    expect((await lines.next()).value).toBe("after");
    await handle.kill();
  });

  test("a terminal comes back without repeating its screen", async () => {
    let screen = "";
    const terminal = await sandbox.terminals.open({
      command: ["/bin/cat"],
      onData: (bytes) => {
        screen += Buffer.from(bytes).toString();
      },
    });
    await terminal.write("first\n");
    await waitFor(() => screen.match(/first/g)?.length === 2, { describe: "echo and answer" });
    server.way.break();
    await waitFor(() => server.way.connections > 0, { describe: "a new connection" });
    await waitFor(
      async () => {
        await terminal.write("second\n");
        return screen.includes("second\r\nsecond");
      },
      { intervalMs: 200, describe: "the second line" },
    );
    expect(screen.match(/first/g)).toHaveLength(2);
    await terminal.close();
  });

  test("reads under way are asked again", async () => {
    await sandbox.files.write("kept", "content");
    const reads = Array.from({ length: 20 }, () => sandbox.files.read("kept"));
    server.way.break();
    expect(new Set(await Promise.all(reads))).toEqual(new Set(["content"]));
  });

  test("a crash of the orchestrator goes unnoticed by a running command", async () => {
    let restarted: Promise<void> | undefined;
    const result = await sandbox.commands.run(counter(3000), {
      gapPolicy: "error",
      onStdout: () => {
        restarted ??= server.server.restart("SIGKILL");
      },
    });
    await restarted;
    expect(result.stdout).toBe(numbers(3000));
  });

  test("a sandbox that is destroyed meanwhile is an error at once", async () => {
    const doomed = await server.create();
    const handle = await doomed.commands.start(["sleep", "1000"]);
    const ending = handle.wait().catch((thrown: unknown) => thrown);
    const { id } = doomed;
    await fetch(`${server.options.apiUrl}/api/v1/sandboxes/${id}`, {
      method: "DELETE",
      headers: { "x-api-key": server.options.apiKey },
    });
    expect(await ending).toMatchObject({
      code: expect.stringMatching(/sandbox_not_found|sandbox_state|sandbox_failed|machine_lost/),
    });
  });
});
