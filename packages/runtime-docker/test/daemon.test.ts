import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newMachineId } from "@insien/protocol";
import { Bench } from "@insien/runtime/conformance";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit, leftovers } from "./docker-host.ts";

/** A door to the real daemon that can be shut: to the runtime, a daemon that is restarted. */
async function doorToDaemon(socketPath: string) {
  const sockets = new Set<Socket>();
  const open = async () => {
    const server = createServer((near) => {
      const far = createConnection("/var/run/docker.sock");
      for (const socket of [near, far]) {
        sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
    server.listen(socketPath);
    await once(server, "listening");
    return server;
  };
  let server = await open();
  return {
    async shut() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await rm(socketPath, { force: true });
    },
    async reopen() {
      server = await open();
    },
  };
}

describe.skipIf(!dockerAnswers)("a Docker daemon", () => {
  test("that is not there is said to be not there, by its address", async () => {
    const socketPath = "/nowhere/docker.sock";
    const runtime = createDockerRuntime({ ownerId: "testdaemon", kit: await kit(), socketPath });
    const failure = { code: "create_failed", message: expect.stringContaining(socketPath) };
    await expect(runtime.capabilities()).rejects.toMatchObject(failure);
    await expect(runtime.list()).rejects.toMatchObject(failure);
    await expect(runtime.destroy(newMachineId())).rejects.toMatchObject(failure);
  });

  test("that restarts is found again by every call and by the watch", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-test-door-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const socketPath = join(directory, "docker.sock");
    const door = await doorToDaemon(socketPath);
    onTestFinished(() => door.shut());
    const template = { name: "debian", image: "debian:bookworm-slim" };
    await using bench = await Bench.open({
      create: (construction) => createDockerRuntime({ ...construction, socketPath }),
      kit,
      template,
    });
    const machine = await bench.machine();
    const watching = new AbortController();
    const events = bench.runtime.watch({ signal: watching.signal })[Symbol.asyncIterator]();
    const next = events.next();
    await door.shut();
    await expect(bench.runtime.list()).rejects.toThrow(/does not answer/);
    await door.reopen();
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("running");
    expect(await bench.runtime.destroy(machine.id)).toBe(true);
    const { value } = await next;
    expect(value).toMatchObject({ machineId: machine.id });
    watching.abort();
  });

  test("ends the watch that is aborted before the daemon answered", async () => {
    await using runtime = createDockerRuntime({ ownerId: "testdaemon", kit: await kit() });
    const watching = new AbortController();
    const first = runtime.watch({ signal: watching.signal })[Symbol.asyncIterator]().next();
    watching.abort();
    expect(await first).toEqual({ done: true, value: undefined });
  });

  test("is rid of the networks that a killed orchestrator left, and of no others", async () => {
    const template = { name: "debian", image: "debian:bookworm-slim" };
    await using bench = await Bench.open({
      create: (construction) => createDockerRuntime(construction),
      kit,
      template,
    });
    const machine = await bench.machine({ network: "internet" });
    const Labels = { "insien.owner": bench.ownerId, "insien.machine": "gone" };
    const IPAM = { Config: [{ Subnet: "10.214.255.240/28" }] };
    await docker.createNetwork({ Name: `insien-${bench.ownerId}`, Labels, IPAM });
    const restarted = await bench.instance();
    await restarted.capabilities();
    const left = await leftovers(bench.ownerId);
    expect(left.filter((line) => line.includes("network"))).toEqual([
      `there is the network insien-${machine.id}`,
    ]);
  });
});
