/**
 * Goal: a crash of the orchestrator loses nothing. A command prints a counter; the orchestrator is
 * killed with SIGKILL again and again; the stream that the SDK reads goes on by itself and the
 * counter has no gap. No machine is orphaned, none is destroyed that should live.
 */
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const ROUNDS = 20;

describe.each(presentRuntimes)("orchestrator killed on %s", (runtime) => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({ runtime, poolSize: 1 });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test(`a stream survives ${ROUNDS} kills without a gap`, async () => {
    const connection = { apiKey: server.apiKey, apiUrl: server.url };
    await using sandbox = await Sandbox.create(connection);
    const bystander = await Sandbox.create(connection);
    await bystander.files.write("kept.txt", "still here");
    const command = await sandbox.commands.start(
      "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done",
    );
    const numbers: number[] = [];
    const reading = (async () => {
      for await (const line of command.stdout.lines()) numbers.push(Number(line));
    })();
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = numbers.length;
      await waitFor(() => numbers.length > before + 3, { describe: `output before kill ${round}` });
      await server.restart("SIGKILL");
      const after = numbers.length;
      await waitFor(() => numbers.length > after + 3, {
        timeoutMs: 20_000,
        describe: `output after kill ${round}`,
      });
    }
    await command.kill();
    await reading;
    expect(command.gaps).toEqual([]);
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(await bystander.files.read("kept.txt")).toBe("still here");
    expect(await bystander.destroy()).toBe(true);
  });

  test("what was running when it was killed is found, and what was not wanted is removed", async () => {
    const connection = { apiKey: server.apiKey, apiUrl: server.url };
    const kept = await Sandbox.create(connection);
    const creating = Array.from({ length: 4 }, () =>
      Sandbox.create(connection).catch(() => undefined),
    );
    await server.restart("SIGKILL");
    await Promise.all(creating);
    expect((await kept.commands.run("echo alive")).stdout).toBe("alive\n");
    // Whatever the cut-short creates left is either a running sandbox of ours or is gone.
    const ids = async () => {
      const found: string[] = [];
      for await (const each of Sandbox.list(connection)) found.push(each.id);
      return found;
    };
    for (const id of await ids()) await (await Sandbox.connect(id, connection)).destroy();
    expect(await ids()).toEqual([]);
  });
});
