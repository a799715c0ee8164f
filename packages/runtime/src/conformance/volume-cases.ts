import { expect, onTestFinished, type TestContext, vi } from "vitest";
import { newId } from "@insien/protocol";
import type { VolumeMount, VolumeStore } from "../facets.ts";
import { SMALL, type Bench, type TestMachine } from "./bench.ts";
import { tracesOf } from "./host-view.ts";

const TARGET = "/data";

/** Skips a case where the runtime has no volumes. */
function volumesOf(bench: Bench, context: TestContext): VolumeStore {
  const { volumes } = bench.runtime;
  if (volumes === undefined) return context.skip("this runtime has no volumes");
  return volumes;
}

/** A volume that is gone after the test, machines first. */
async function newVolume(bench: Bench, volumes: VolumeStore): Promise<string> {
  const volumeId = newId();
  await volumes.create({ volumeId, driver: "local" });
  onTestFinished(async () => {
    await bench.clear();
    await volumes.destroy(volumeId);
  });
  return volumeId;
}

const mountOf = (volumeId: string, changes: Partial<VolumeMount> = {}): VolumeMount => ({
  volumeId,
  target: TARGET,
  readOnly: false,
  ...changes,
});

async function write(machine: TestMachine, path: string, content: string): Promise<void> {
  await machine.line.rpc("write", { path, content });
}

async function read(machine: TestMachine, path: string): Promise<string> {
  return (await machine.line.rpc("read", { path })).content;
}

export const volumeCases = {
  "a volume is shared by machines and outlives them": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const [one, other] = await Promise.all([
      bench.machine({ volumes: [mountOf(volumeId)] }),
      bench.machine({ volumes: [mountOf(volumeId, { target: "/elsewhere/deep" })] }),
    ]);
    // By a command, as its user: also who is not root may write in a volume that is new.
    const made = await one.shell(`mkdir ${TARGET}/folder && echo shared > ${TARGET}/folder/file`);
    expect(made).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await read(other, "/elsewhere/deep/folder/file")).toBe("shared\n");
    await bench.runtime.destroy(one.id);
    await bench.runtime.destroy(other.id);
    const later = await bench.machine({ volumes: [mountOf(volumeId)] });
    expect(await read(later, `${TARGET}/folder/file`)).toBe("shared\n");
  },

  "a volume in use is not destroyed": async (bench: Bench, context: TestContext) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const machine = await bench.machine({ volumes: [mountOf(volumeId)] });
    const inUse = { code: "volume_in_use", message: expect.stringContaining(machine.id) };
    await expect(volumes.destroy(volumeId)).rejects.toMatchObject(inUse);
    await bench.runtime.stop(machine.id);
    await expect(volumes.destroy(volumeId)).rejects.toMatchObject(inUse);
    await bench.runtime.destroy(machine.id);
    expect(await volumes.destroy(volumeId)).toBe(true);
    expect(await volumes.destroy(volumeId)).toBe(false);
  },

  "volumes are listed, measured, and seen by their owner alone": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    await volumes.create({ volumeId, driver: "local" });
    const listed = await volumes.list();
    expect(listed.filter((volume) => volume.volumeId === volumeId)).toMatchObject([
      { volumeId, driver: "local", createdAt: expect.any(Date) },
    ]);
    const machine = await bench.machine({ volumes: [mountOf(volumeId)] });
    await machine.shell(`head -c 3000000 /dev/urandom > ${TARGET}/file; sync ${TARGET}/file`);
    const sizes = await volumes.sizes([volumeId]);
    expect(sizes.get(volumeId)).toBeGreaterThanOrEqual(3_000_000);
    expect(sizes.get(volumeId)).toBeLessThan(4_000_000);
    const stranger = (await bench.instance({ ownerId: `${bench.ownerId}x` })).volumes;
    expect(await stranger?.list()).toEqual([]);
    expect(await stranger?.destroy(volumeId)).toBe(false);
    expect((await stranger?.sizes([volumeId]))?.size).toBe(0);
  },

  "a read-only mount refuses writes": async (bench: Bench, context: TestContext) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const machine = await bench.machine({ volumes: [mountOf(volumeId, { readOnly: true })] });
    const { users } = await bench.runtime.capabilities();
    for (const shell of [
      `touch ${TARGET}/file`,
      `chmod 700 ${TARGET}`,
      `mount -o remount,bind,rw ${TARGET} && touch ${TARGET}/file`,
    ]) {
      for (const who of users ? [{ user: "root" }, {}] : [{}]) {
        const run = await machine.line.rpc("exec", { shell, ...who });
        expect(run.exitCode, `${shell} as ${JSON.stringify(who)}`).not.toBe(0);
      }
    }
    expect((await machine.shell(`ls -A ${TARGET}`)).stdout).toBe("");
  },

  "a machine with a volume that is not there is not made": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const machine = await bench.prepare({ volumes: [mountOf(newId())] });
    const refused = bench.runtime.create(machine.spec);
    await expect(refused).rejects.toMatchObject({ code: "volume_not_found" });
    expect(await bench.runtime.inspect(machine.id)).toBeUndefined();
    expect(await volumes.list()).toEqual([]);
  },

  "other volumes leave a running machine its files, limits, network and labels": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const { networks } = await bench.runtime.capabilities();
    const network = networks.includes("internet") ? "internet" : "none";
    const labels = { kept: "yes" };
    const limits = { ...SMALL, pids: 48 };
    const machine = await bench.machine({ labels, network, limits });
    const before = await bench.runtime.inspect(machine.id);
    await write(machine, "kept.txt", "still here");
    const devices = (await machine.shell("cat /proc/net/dev | wc -l")).stdout;

    const mounted = await volumes.remount(machine.id, [mountOf(volumeId)]);
    expect(mounted).toEqual({ restarted: true });
    await machine.line.hello();
    expect(await bench.runtime.inspect(machine.id)).toEqual(before);
    expect(await read(machine, "kept.txt")).toBe("still here");
    await write(machine, `${TARGET}/file`, "in the volume");
    expect((await machine.shell("cat /proc/net/dev | wc -l")).stdout).toBe(devices);
    const hog = "i=0; while [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done";
    expect((await machine.shell(hog)).stderr).toMatch(/fork|[Rr]esource/);

    expect(await volumes.remount(machine.id, [mountOf(volumeId)])).toEqual({ restarted: false });
    await volumes.remount(machine.id, []);
    await machine.line.hello();
    expect(await read(machine, "kept.txt")).toBe("still here");
    expect((await machine.shell(`cat ${TARGET}/file`)).exitCode).not.toBe(0);
    expect(await volumes.destroy(volumeId)).toBe(true);
    expect(await bench.runtime.destroy(machine.id)).toBe(true);
  },

  "other volumes leave a stopped machine stopped": async (bench: Bench, context: TestContext) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const machine = await bench.machine();
    await write(machine, "kept.txt", "still here");
    await bench.runtime.stop(machine.id);
    const mounted = await volumes.remount(machine.id, [mountOf(volumeId)]);
    expect(mounted).toEqual({ restarted: false });
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("stopped");
    await bench.runtime.start(machine.id);
    await machine.line.hello();
    expect(await read(machine, "kept.txt")).toBe("still here");
    await write(machine, `${TARGET}/file`, "in the volume");
  },

  "a volume that cannot be mounted leaves the machine as it was": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const machine = await bench.machine();
    const { bootId } = await machine.line.hello();
    const missing = volumes.remount(machine.id, [mountOf(newId())]);
    await expect(missing).rejects.toMatchObject({ code: "volume_not_found" });
    expect((await bench.runtime.inspect(machine.id))?.state).toBe("running");
    expect((await machine.line.hello()).bootId).toBe(bootId);
  },

  "destroy leaves nothing of a machine with volumes, and the volume": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const volumes = volumesOf(bench, context);
    const volumeId = await newVolume(bench, volumes);
    const machine = await bench.machine({ volumes: [mountOf(volumeId)] });
    await volumes.remount(machine.id, []);
    await machine.line.hello();
    await volumes.remount(machine.id, [mountOf(volumeId)]);
    await bench.runtime.destroy(machine.id);
    await vi.waitFor(
      async () => expect(await tracesOf([machine.id, volumeId], "/nowhere")).toEqual([]),
      { timeout: 15_000, interval: 100 },
    );
    const left = (await bench.options.leftovers?.(bench.ownerId)) ?? [];
    expect(left.filter((line) => line.includes(machine.id))).toEqual([]);
    expect((await volumes.list()).map((volume) => volume.volumeId)).toContain(volumeId);
  },

  "a read-only root holds, and leaves /tmp, the home and volumes": async (
    bench: Bench,
    context: TestContext,
  ) => {
    const { readOnlyRoot, users } = await bench.runtime.capabilities();
    context.skip(!readOnlyRoot, "this runtime cannot make the root read-only");
    const { volumes } = bench.runtime;
    const volumeId = volumes === undefined ? undefined : await newVolume(bench, volumes);
    const machine = await bench.machine({
      readOnlyRoot: true,
      ...(volumeId === undefined ? {} : { volumes: [mountOf(volumeId)] }),
    });
    for (const who of users ? [{ user: "root" }, {}] : [{}]) {
      for (const directory of ["/", "/etc", "/usr/bin", "/var/lib", "/opt"]) {
        const shell = `mkdir -p ${directory} && touch ${directory}/new`;
        const run = await machine.line.rpc("exec", { shell, ...who });
        expect(run.exitCode, `${directory} as ${JSON.stringify(who)}`).not.toBe(0);
      }
    }
    const places = ["/tmp", "$HOME", ...(volumeId === undefined ? [] : [TARGET])];
    for (const place of places) {
      const run = await machine.shell(`echo fine > ${place}/new && cat ${place}/new`);
      expect(run, place).toMatchObject({ exitCode: 0, stdout: "fine\n" });
    }
    await bench.runtime.stop(machine.id);
    await bench.runtime.start(machine.id);
    await machine.line.hello();
    expect((await machine.shell("cat $HOME/new")).stdout).toBe("fine\n");
    expect((await machine.shell("touch /etc/new")).exitCode).not.toBe(0);
  },
};
