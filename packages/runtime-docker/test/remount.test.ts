import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@insien/protocol";
import type { VolumeMount } from "@insien/runtime";
import { Bench, type TestMachine } from "@insien/runtime/conformance";
import { describe, expect, onTestFinished, test } from "vitest";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit, leftovers } from "./docker-host.ts";

const DAEMON = "/var/run/docker.sock";
const DEBIAN = "debian:bookworm-slim";

async function openBench(options: { imageLayers?: number } = {}): Promise<Bench> {
  const bench = await Bench.open({
    create: (construction) => createDockerRuntime({ ...construction, ...options }),
    kit,
    template: { name: "debian", image: DEBIAN },
  });
  onTestFinished(async () => {
    const volumes = (await bench.runtime.volumes?.list()) ?? [];
    await bench[Symbol.asyncDispose]();
    for (const { volumeId } of volumes) await bench.runtime.volumes?.destroy(volumeId);
    const filters = JSON.stringify({ label: [`insien.owner=${bench.ownerId}`] });
    for (const { Id } of await docker.listImages({ filters })) {
      await docker.getImage(Id).remove({ force: true });
    }
  });
  return bench;
}

async function newMount(bench: Bench, target = "/data"): Promise<VolumeMount> {
  const volumeId = newId();
  await bench.runtime.volumes?.create({ volumeId, driver: "local" });
  return { volumeId, target, readOnly: false };
}

/** The daemon as an orchestrator sees it that is killed before it says its n-th thing that changes. */
async function doorThatShuts(socketPath: string, before: number) {
  let changes = 0;
  const server = createServer((incoming, answer) => {
    if (incoming.method !== "GET" && incoming.method !== "HEAD") changes += 1;
    if (changes >= before) {
      incoming.socket.destroy();
      return;
    }
    const { method, url: path, headers } = incoming;
    const outgoing = ask({ socketPath: DAEMON, method, path, headers }, (response) => {
      answer.writeHead(response.statusCode ?? 500, response.headers);
      response.pipe(answer);
    });
    outgoing.on("error", () => incoming.socket.destroy());
    incoming.pipe(outgoing);
  }).listen(socketPath);
  await once(server, "listening");
  return {
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await rm(socketPath, { force: true });
    },
  };
}

async function read(machine: TestMachine, path: string): Promise<string> {
  return (await machine.line.rpc("read", { path })).content;
}

describe.skipIf(!dockerAnswers)("other volumes for a machine", { timeout: 180_000 }, () => {
  test("its files outlive an orchestrator that is killed before any of its steps", async () => {
    const bench = await openBench();
    const mount = await newMount(bench);
    const socketPath = join(bench.directory, "door.sock");
    let finished = false;
    let step = 0;
    while (!finished) {
      step += 1;
      const machine = await bench.machine({ labels: { kept: "yes" } });
      await machine.line.rpc("write", { path: "kept.txt", content: "still here" });
      {
        await using _door = await doorThatShuts(socketPath, step);
        const { ownerId } = bench;
        const killed = createDockerRuntime({ ownerId, kit: bench.kit, socketPath });
        finished = await (killed.volumes?.remount(machine.id, [mount]) ?? Promise.reject()).then(
          () => true,
          () => false,
        );
      }
      const found = (await bench.runtime.list()).filter(
        ({ machineId }) => machineId === machine.id,
      );
      expect(found, `step ${step}`).toHaveLength(1);
      expect(["running", "stopped"]).toContain(found[0]?.state);
      expect(found[0]).toMatchObject({ labels: { kept: "yes" } });
      await bench.runtime.start(machine.id);
      await machine.line.hello();
      expect(await read(machine, "kept.txt"), `step ${step}`).toBe("still here");
      await bench.runtime.volumes?.remount(machine.id, [mount]);
      expect(await read(machine, "kept.txt"), `step ${step}`).toBe("still here");
      expect((await machine.shell("echo > /data/file")).exitCode).toBe(0);
      await bench.runtime.destroy(machine.id);
      const left = (await leftovers(bench.ownerId)).filter((line) => line.includes(machine.id));
      expect(left, `step ${step}`).toEqual([]);
    }
    expect(step).toBeGreaterThan(8);
  });

  test("a machine that does not start with them runs again as it was", async () => {
    const bench = await openBench();
    const machine = await bench.machine();
    await machine.line.rpc("write", { path: "kept.txt", content: "still here" });
    const before = await bench.runtime.inspect(machine.id);
    // Nothing can be made there, the kit being mounted read-only.
    const mount = await newMount(bench, "/insien/kit/new");
    const failing = bench.runtime.volumes?.remount(machine.id, [mount]);
    await expect(failing).rejects.toMatchObject({ code: "volume_failed" });
    expect(await bench.runtime.inspect(machine.id)).toEqual(before);
    await machine.line.hello();
    expect(await read(machine, "kept.txt")).toBe("still here");
    expect((await leftovers(bench.ownerId)).filter((line) => line.includes("image"))).toEqual([]);
    await bench.runtime.stop(machine.id);
    await bench.runtime.volumes?.remount(machine.id, [mount]);
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("stopped");
  });

  test("a read-only root stays so, and its home keeps its files", async () => {
    const bench = await openBench();
    const machine = await bench.machine({ readOnlyRoot: true });
    expect((await machine.shell("echo mine > $HOME/file")).exitCode).toBe(0);
    const mount = await newMount(bench);
    await bench.runtime.volumes?.remount(machine.id, [mount]);
    await machine.line.hello();
    expect((await machine.shell("cat $HOME/file; echo > /data/file")).stdout).toBe("mine\n");
    expect((await machine.shell("touch /etc/new")).exitCode).not.toBe(0);
    expect((await bench.runtime.meter?.diskSizes([machine.id]))?.get(machine.id)).toBeLessThan(1e8);
    await bench.runtime.destroy(machine.id);
    const left = (await leftovers(bench.ownerId)).filter((line) => line.includes(machine.id));
    expect(left).toEqual([]);
  });

  test("layers become one before there are too many", async () => {
    const bench = await openBench({ imageLayers: 4 });
    const copies = Array.from({ length: 3 }, (_, index) => `COPY file /files/${index}\n`);
    const dockerfile = `FROM ${DEBIAN}\nENV OF_IMAGE=yes\n${copies.join("")}VOLUME /declared\n`;
    const files = new Map([
      ["Dockerfile", Buffer.from(dockerfile)],
      ["file", Buffer.from("x")],
    ]);
    const template = await bench.runtime.builds?.build({
      files,
      force: false,
      network: "none",
      ownerId: "someone",
    });
    if (template === undefined) throw new Error("the Docker runtime builds no images");
    const machine = await bench.machine({ template });
    await machine.line.rpc("write", { path: "kept.txt", content: "still here" });
    await machine.line.rpc("write", { path: "/declared/file", content: "here too" });
    const declared = await docker.getContainer(`insien-${machine.id}`).inspect();
    const names = declared.Mounts.flatMap(({ Name }) => Name ?? []);
    expect(names).toHaveLength(1);
    const mount = await newMount(bench);
    await bench.runtime.volumes?.remount(machine.id, [mount]);
    await machine.line.hello();
    const { Image, Config } = await docker.getContainer(`insien-${machine.id}`).inspect();
    expect((await docker.getImage(Image).inspect()).RootFS.Layers).toHaveLength(1);
    expect(Config.Env).toContain("OF_IMAGE=yes");
    expect(await read(machine, "kept.txt")).toBe("still here");
    expect(await read(machine, "/declared/file")).toBe("here too");
    expect((await machine.shell("ls /files | wc -l")).stdout).toBe("3\n");
    await bench.runtime.volumes?.remount(machine.id, []);
    await machine.line.hello();
    expect(await read(machine, "kept.txt")).toBe("still here");
    expect(await read(machine, "/declared/file")).toBe("here too");
    await bench.runtime.destroy(machine.id);
    for (const name of names) await expect(docker.getVolume(name).inspect()).rejects.toThrow(/404/);
    const images = (await leftovers(bench.ownerId)).filter((line) => line.includes(machine.id));
    expect(images).toEqual([]);
  });
});

describe.skipIf(!dockerAnswers)("volumes that Docker cannot hold to", () => {
  test("a size is refused with the reason where there are no quotas, and nothing is left", async () => {
    const bench = await openBench();
    const volumeId = newId();
    const { volumes } = bench.runtime;
    const made = volumes?.create({ volumeId, driver: "local", sizeBytes: 1024 ** 2 });
    const refusal = await made?.then(
      () => undefined,
      (error: unknown) => error,
    );
    // Where the host has quotas there is nothing to refuse.
    if (refusal === undefined) return;
    expect(refusal).toMatchObject({
      code: "volume_unsupported",
      message: expect.stringMatching(/project quotas.*no quota support/s),
    });
    expect(await volumes?.list()).toEqual([]);
  });

  test("nfs is stored as asked, and its failure told in the driver's words", async () => {
    const bench = await openBench();
    const { volumes } = bench.runtime;
    const volumeId = newId();
    const nfs = { server: "127.0.0.1", path: "/export", mountOptions: "vers=4,timeo=5,retry=0" };
    await volumes?.create({ volumeId, driver: "nfs", nfs });
    expect(await volumes?.list()).toMatchObject([{ volumeId, driver: "nfs" }]);
    const stored = await docker.getVolume(`insien-${bench.ownerId}-${volumeId}`).inspect();
    expect(stored.Options).toEqual({
      type: "nfs",
      device: ":/export",
      o: "soft,timeo=200,retrans=2,vers=4,timeo=5,retry=0,nosuid,nodev,addr=127.0.0.1",
    });
    const sized = volumes?.create({ volumeId: newId(), driver: "nfs", nfs, sizeBytes: 1 });
    await expect(sized).rejects.toMatchObject({ code: "volume_unsupported" });

    const mounts = [{ volumeId, target: "/data", readOnly: false }];
    const failure = {
      code: "volume_failed",
      message: expect.stringMatching(/no such device|connection refused|timed out|not permitted/i),
    };
    const machine = await bench.machine();
    const { bootId } = await machine.line.hello();
    await expect(volumes?.remount(machine.id, mounts)).rejects.toMatchObject(failure);
    expect((await machine.line.hello()).bootId).toBe(bootId);
    const other = await bench.prepare({ volumes: mounts });
    await expect(bench.runtime.create(other.spec)).rejects.toMatchObject(failure);
    const left = (await leftovers(bench.ownerId)).filter((line) => line.includes(other.id));
    expect(left).toEqual([]);
  });

  test("GPUs are refused where the daemon has no runtime for them", async () => {
    const bench = await openBench();
    const { gpus, notes } = await bench.runtime.capabilities();
    const machine = await bench.prepare({ gpu: "all" });
    if (gpus) return;
    expect(notes.join("\n")).toContain("NVIDIA Container Toolkit");
    const refused = bench.runtime.create(machine.spec);
    await expect(refused).rejects.toMatchObject({ code: "capability_missing" });
  });
});
