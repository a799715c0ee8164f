/**
 * Goal: a crash of the orchestrator loses nothing. A command prints a counter; the orchestrator is
 * killed with SIGKILL again and again; the stream that the SDK reads goes on by itself and the
 * counter has no gap. No machine is orphaned, none is destroyed that should live.
 */
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectMachines, machinesOf } from "../machines.ts";
import { presentCombinations } from "../runtimes.ts";

const KILLS = 20;
/** Of bubblewrap on PostgreSQL, whose two halves are killed as often beside other halves. */
const KILLS_OF_KNOWN_HALVES = 5;
const POOL_SIZE = 1;
/** Each round is a start of the server; on a slow machine that others use, they add up. */
const ROUNDS_MS = 10 * 60_000;
const PROGRESS_MS = 60_000;

describe.each(presentCombinations)("orchestrator killed on $runtime, $database", (combination) => {
  const { runtime, database } = combination;
  const kills =
    runtime === "bubblewrap" && database === "postgresql" ? KILLS_OF_KNOWN_HALVES : KILLS;
  let server: TestServer;

  beforeAll(async () => {
    server = await startServer({ ...combination, poolSize: POOL_SIZE });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    expect(await machinesOf(server, runtime).catch(() => [])).toEqual([]);
  });

  test(
    `a stream survives ${kills} kills without a gap`,
    async () => {
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
      const goesOn = async (when: string) => {
        const before = numbers.length;
        const options = { timeoutMs: PROGRESS_MS, describe: `output ${when}` };
        await waitFor(() => numbers.length > before + 3, options);
      };
      for (let round = 0; round < kills; round += 1) {
        await goesOn(`before kill ${round}`);
        await server.restart("SIGKILL");
        await goesOn(`after kill ${round}`);
      }
      // The two sandboxes and the pool's, whatever was under way when it was killed.
      await expectMachines(server, runtime, 2 + POOL_SIZE);
      await command.kill();
      await reading;
      expect(command.gaps).toEqual([]);
      expect(numbers).toEqual(numbers.map((_, index) => index));
      expect(await bystander.files.read("kept.txt")).toBe("still here");
      expect(await bystander.destroy()).toBe(true);
    },
    ROUNDS_MS,
  );

  test("what was running when it was killed is found, and what was not wanted is removed", async () => {
    const connection = { apiKey: server.apiKey, apiUrl: server.url };
    const kept = await Sandbox.create(connection);
    const creating = Array.from({ length: 4 }, () =>
      Sandbox.create(connection).catch(() => undefined),
    );
    // Killed while machines are made; each delay meets another step of it.
    for (const afterMs of [0, 30, 100]) {
      await new Promise((resolve) => setTimeout(resolve, afterMs)); // slow: to kill at that moment
      await server.restart("SIGKILL");
      creating.push(Sandbox.create(connection).catch(() => undefined));
    }
    await Promise.all(creating);
    expect((await kept.commands.run("echo alive")).stdout).toBe("alive\n");
    const running = async () => {
      const infos = await Array.fromAsync(Sandbox.list({ ...connection, state: "running" }));
      return infos.map(({ id }) => id);
    };
    await waitFor(
      async () => {
        const states = await Array.fromAsync(Sandbox.list(connection), ({ state }) => state);
        return states.every((state) => ["running", "failed", "destroyed"].includes(state));
      },
      { timeoutMs: PROGRESS_MS, describe: "every create to be finished or failed" },
    );
    await expectMachines(server, runtime, (await running()).length + POOL_SIZE);
    for (const id of await running()) await (await Sandbox.connect(id, connection)).destroy();
    expect(await running()).toEqual([]);
    await expectMachines(server, runtime, POOL_SIZE);
  });
});
