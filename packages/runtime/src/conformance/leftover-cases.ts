import { rename } from "node:fs/promises";
import { expect, vi } from "vitest";
import type { MachineId } from "@insien/protocol";
import type { Bench } from "./bench.ts";
import { tracesOf } from "./host-view.ts";

/** Nothing of these machines is left, neither in `list` nor anywhere on the host. */
async function expectNothingLeft(bench: Bench, machineIds: MachineId[]): Promise<void> {
  const traces = async () => {
    const own = await tracesOf(machineIds, bench.dataDirectory);
    const rest = (await bench.options.leftovers?.(bench.ownerId)) ?? [];
    return [...own, ...rest.filter((line) => machineIds.some((id) => line.includes(id)))];
  };
  // The kernel takes a moment to end the last processes of a namespace, and a look at a busy host
  // takes seconds.
  await vi.waitFor(async () => expect(await traces()).toEqual([]), {
    timeout: 15_000,
    interval: 100,
  });
  const listed = (await bench.runtime.list()).map(({ machineId }) => machineId);
  expect(listed.filter((id) => machineIds.includes(id))).toEqual([]);
}

export const leftoverCases = {
  "destroy leaves nothing": async (bench: Bench) => {
    const { networks } = await bench.runtime.capabilities();
    const machines = await Promise.all(networks.map((network) => bench.machine({ network })));
    for (const machine of machines) {
      await machine.line.rpc("start", { shell: "sleep 1000", background: true });
      await machine.line.rpc("write", { path: "file.txt", content: "x" });
    }
    for (const machine of machines) await bench.runtime.destroy(machine.id);
    await expectNothingLeft(
      bench,
      machines.map(({ id }) => id),
    );
  },

  "destroy of a stopped machine leaves nothing": async (bench: Bench) => {
    const machine = await bench.machine();
    await bench.runtime.stop(machine.id);
    expect(await bench.runtime.destroy(machine.id)).toBe(true);
    await expectNothingLeft(bench, [machine.id]);
  },

  "a create that fails leaves nothing": async (bench: Bench) => {
    const machine = await bench.prepare();
    const aside = `${machine.spec.lineDirectory}-aside`;
    await rename(machine.spec.lineDirectory, aside);
    const failure = bench.runtime.create(machine.spec);
    await expect(failure).rejects.toMatchObject({ name: "InsienError", code: "create_failed" });
    await rename(aside, machine.spec.lineDirectory);
    await expectNothingLeft(bench, [machine.id]);
  },

  "a create whose first process cannot run leaves nothing": async (bench: Bench) => {
    const kit = { ...bench.kit, command: ["/insien/kit/there-is-no-such-program"] };
    const runtime = await bench.instance({ kit });
    const machine = await bench.prepare();
    const failure = runtime.create(machine.spec);
    await expect(failure).rejects.toMatchObject({ name: "InsienError", code: "create_failed" });
    await expectNothingLeft(bench, [machine.id]);
  },

  "an aborted create rejects and leaves nothing": async (bench: Bench) => {
    const machines = await Promise.all(Array.from({ length: 4 }, () => bench.prepare()));
    const aborts = machines.map(async (machine, index) => {
      const signal = AbortSignal.timeout(index * 20);
      const outcome = await bench.runtime.create(machine.spec, { signal }).then(
        () => "created",
        () => "rejected",
      );
      // A create that was done before its signal is an ordinary machine.
      if (outcome === "created") await bench.runtime.destroy(machine.id);
      return outcome;
    });
    expect((await Promise.all(aborts))[0]).toBe("rejected");
    await expectNothingLeft(
      bench,
      machines.map(({ id }) => id),
    );
  },

  "dispose leaves machines running": async (bench: Bench) => {
    const instance = await bench.instance();
    const machine = await bench.prepare();
    await instance.create(machine.spec);
    await machine.line.hello();
    await instance[Symbol.asyncDispose]();
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("running");
    await machine.line.rpc("ping", {});
  },
};
