import { expect, vi } from "vitest";
import { newMachineId } from "@insien/protocol";
import type { MachineEvent } from "../runtime.ts";
import type { Bench, TestMachine } from "./bench.ts";
import { agentPid } from "./host-view.ts";

async function crash(bench: Bench, machine: TestMachine): Promise<void> {
  if (bench.options.crash !== undefined) return await bench.options.crash(bench.runtime, machine);
  const pid = await agentPid(machine.id);
  if (pid === undefined) throw new Error(`no agent of machine ${machine.id} runs on this host`);
  process.kill(pid, "SIGKILL");
}

/** Watches until the machine's end is reported, and gives the event with the time it took. */
function watchExit(bench: Bench, machine: TestMachine) {
  const watching = new AbortController();
  const signal = AbortSignal.any([watching.signal, AbortSignal.timeout(20_000)]);
  const seen = (async (): Promise<MachineEvent> => {
    for await (const event of bench.runtime.watch({ signal })) {
      if (event.machineId === machine.id && event.type === "exited") return event;
    }
    throw new Error(`watch ended without a word about machine ${machine.id}`);
  })();
  seen.catch(() => undefined);
  return { seen, [Symbol.dispose]: () => watching.abort() };
}

export const lifecycleCases = {
  "create starts an agent that says hello": async (bench: Bench) => {
    const machine = await bench.prepare();
    const created = await bench.runtime.create(machine.spec);
    expect(created).toMatchObject({
      machineId: machine.id,
      state: "running",
      templateName: bench.template.name,
      fingerprint: bench.template.fingerprint,
    });
    expect(Math.abs(Date.now() - created.createdAt.getTime())).toBeLessThan(60_000);
    const hello = await machine.line.hello();
    expect(hello.machineId).toBe(machine.id);
    await machine.line.rpc("ping", {});
  },

  "create of a machine that exists gives that machine": async (bench: Bench) => {
    const machine = await bench.machine({ labels: { first: "yes" } });
    const again = await bench.runtime.create(machine.spec);
    expect(again).toMatchObject({ machineId: machine.id, state: "running" });
    const machines = await bench.runtime.list();
    expect(machines.filter(({ machineId }) => machineId === machine.id)).toHaveLength(1);
    await machine.line.rpc("ping", {});
  },

  "destroy gives true once and false from then on": async (bench: Bench) => {
    const machine = await bench.machine();
    expect(await bench.runtime.destroy(machine.id)).toBe(true);
    expect(await bench.runtime.inspect(machine.id)).toBeUndefined();
    expect(await bench.runtime.destroy(machine.id)).toBe(false);
    expect(await bench.runtime.destroy(newMachineId())).toBe(false);
  },

  "labels come back from inspect and list": async (bench: Bench) => {
    const labels = { sandbox: "abc", json: '{"a":[1,"é"]}', empty: "" };
    const machine = await bench.machine({ labels });
    expect((await bench.runtime.inspect(machine.id))?.labels).toEqual(labels);
    const listed = (await bench.runtime.list()).find(({ machineId }) => machineId === machine.id);
    expect(listed?.labels).toEqual(labels);
  },

  "another owner sees and touches nothing of it": async (bench: Bench) => {
    const machine = await bench.machine();
    const stranger = await bench.instance({ ownerId: `${bench.ownerId}x` });
    expect(await stranger.list()).toEqual([]);
    expect(await stranger.inspect(machine.id)).toBeUndefined();
    expect(await stranger.destroy(machine.id)).toBe(false);
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("running");
    await machine.line.rpc("ping", {});
  },

  "a new instance finds the same machines and rules them": async (bench: Bench) => {
    const machine = await bench.machine({ labels: { kept: "yes" } });
    const before = await bench.runtime.inspect(machine.id);
    const restarted = await bench.instance();
    const found = (await restarted.list()).find(({ machineId }) => machineId === machine.id);
    expect(found).toEqual(before);
    await machine.line.rpc("ping", {});
    expect(await restarted.destroy(machine.id)).toBe(true);
    expect(await bench.runtime.inspect(machine.id)).toBeUndefined();
  },

  "stop keeps files, start brings them and the agent back": async (bench: Bench) => {
    const machine = await bench.machine({ labels: { kept: "yes" } });
    const first = await machine.line.hello();
    await machine.line.rpc("write", { path: "kept.txt", content: "still here" });
    await bench.runtime.stop(machine.id);
    await bench.runtime.stop(machine.id);
    const stopped = await bench.runtime.inspect(machine.id);
    expect(stopped).toMatchObject({ state: "stopped", labels: { kept: "yes" } });
    await vi.waitFor(() => expect(machine.line.parkedConnections).toBe(0), { timeout: 5_000 });
    await bench.runtime.start(machine.id);
    await bench.runtime.start(machine.id);
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("running");
    const second = await machine.line.hello();
    expect(second.bootId).not.toBe(first.bootId);
    expect((await machine.line.rpc("read", { path: "kept.txt" })).content).toBe("still here");
  },

  "a machine stopped by one instance is started by the next": async (bench: Bench) => {
    const machine = await bench.machine();
    await bench.runtime.stop(machine.id);
    const restarted = await bench.instance();
    expect((await restarted.inspect(machine.id))?.state).toBe("stopped");
    await restarted.start(machine.id);
    await machine.line.hello();
  },

  "stop passes SIGTERM on to what runs": async (bench: Bench) => {
    const machine = await bench.machine();
    const trap = `trap "echo terminated > ended.txt; exit 0" TERM; echo > ready.txt`;
    await machine.line.rpc("start", {
      shell: `${trap}; while :; do sleep 0.1; done`,
      background: true,
    });
    await vi.waitFor(() => machine.line.rpc("stat", { path: "ready.txt" }), { timeout: 5_000 });
    await bench.runtime.stop(machine.id, { graceMs: 5_000 });
    await bench.runtime.start(machine.id);
    await machine.line.hello();
    const { content } = await machine.line.rpc("read", { path: "ended.txt" });
    expect(content.trim()).toBe("terminated");
  },

  "stop ends what ignores SIGTERM after the grace": async (bench: Bench) => {
    const machine = await bench.machine();
    await machine.line.rpc("start", {
      shell: `trap "" TERM; echo > ready.txt; while :; do sleep 0.1; done`,
      background: true,
    });
    await vi.waitFor(() => machine.line.rpc("stat", { path: "ready.txt" }), { timeout: 5_000 });
    const startedAt = performance.now();
    await bench.runtime.stop(machine.id, { graceMs: 500 });
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("stopped");
  },

  "a crash of the first process is told within two seconds": async (bench: Bench) => {
    const machine = await bench.machine();
    using watching = watchExit(bench, machine);
    // The watch is established before the crash once an answer came on the same host.
    await bench.runtime.inspect(machine.id);
    const crashedAt = performance.now();
    await crash(bench, machine);
    const event = await watching.seen;
    expect(performance.now() - crashedAt).toBeLessThan(2_000);
    expect(event).toMatchObject({ type: "exited", reason: expect.stringMatching(/\w+ \w+/) });
    const ended = await bench.runtime.inspect(machine.id);
    expect(ended).toMatchObject({ state: "exited", exitReason: expect.stringMatching(/\w+ \w+/) });
    expect(await bench.runtime.destroy(machine.id)).toBe(true);
  },

  "ten creates at once all succeed": async (bench: Bench) => {
    const machines = await Promise.all(Array.from({ length: 10 }, () => bench.machine()));
    const listed = new Set((await bench.runtime.list()).map(({ machineId }) => machineId));
    expect(machines.filter(({ id }) => !listed.has(id))).toEqual([]);
    await Promise.all(machines.map(({ line }) => line.rpc("ping", {})));
    const destroyed = await Promise.all(machines.map(({ id }) => bench.runtime.destroy(id)));
    expect(destroyed).toEqual(machines.map(() => true));
  },
};
