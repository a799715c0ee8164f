import { LIMITS, newMachineId } from "@insien/protocol";
import { Bench } from "@insien/runtime/conformance";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { createDockerRuntime } from "../src/index.ts";
import { docker, dockerAnswers, kit } from "./docker-host.ts";

const DEBIAN = "debian:bookworm-slim";

async function openBench(): Promise<Bench> {
  const bench = await Bench.open({
    create: (construction) => createDockerRuntime(construction),
    kit,
    template: { name: "debian", image: DEBIAN },
  });
  onTestFinished(() => bench[Symbol.asyncDispose]());
  return bench;
}

/** What is young now is old then. Only the clock that says the date is moved. */
function later(ms: number): void {
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + ms });
  onTestFinished(() => void vi.useRealTimers());
}

async function network(ownerId: string, machineId: string, subnet: string): Promise<string> {
  const Labels = { "insien.owner": ownerId, "insien.machine": machineId };
  const IPAM = { Config: [{ Subnet: subnet }] };
  const { id } = await docker.createNetwork({ Name: `insien-${machineId}`, Labels, IPAM });
  onTestFinished(() =>
    docker
      .getNetwork(id)
      .remove()
      .catch(() => undefined),
  );
  return id;
}

describe.skipIf(!dockerAnswers)("leftovers", () => {
  test("are networks of machines that are gone, of this owner, once they are old", async () => {
    const bench = await openBench();
    const { leftovers } = bench.runtime;
    const machine = await bench.machine({ network: "internet" });
    const orphan = await network(bench.ownerId, newMachineId(), "10.214.255.224/28");
    const foreign = await network(`${bench.ownerId}x`, newMachineId(), "10.214.255.208/28");
    expect(await leftovers?.find()).toEqual([]);
    later(LIMITS.leftoverAgeMs.value + 60_000);
    const found = (await leftovers?.find()) ?? [];
    expect(found).toMatchObject([{ kind: "network", id: orphan }]);
    const [first] = found;
    if (first === undefined) return;
    expect(await leftovers?.remove({ ...first, id: foreign })).toBe(false);
    expect(await leftovers?.remove(first)).toBe(true);
    expect(await leftovers?.remove(first)).toBe(false);
    expect(await docker.getNetwork(foreign).inspect()).toMatchObject({ Id: foreign });
    await machine.line.rpc("ping", {});
  });

  test("are containers that were never started, and helpers, once they are old", async () => {
    const bench = await openBench();
    const { leftovers } = bench.runtime;
    const running = await bench.machine();
    const machineId = newMachineId();
    const owned = { "insien.owner": bench.ownerId };
    const half = await docker.createContainer({
      name: `insien-${machineId}`,
      Image: DEBIAN,
      Cmd: ["true"],
      Labels: { ...owned, "insien.machine": machineId },
    });
    const helper = await docker.createContainer({
      Image: DEBIAN,
      Cmd: ["true"],
      Labels: { ...owned, "insien.helper": "x" },
    });
    onTestFinished(async () => {
      for (const { id } of [half, helper]) {
        await docker
          .getContainer(id)
          .remove({ force: true })
          .catch(() => undefined);
      }
    });
    expect(await leftovers?.find()).toEqual([]);
    later(LIMITS.leftoverAgeMs.value + 60_000);
    const found = (await leftovers?.find()) ?? [];
    expect(new Set(found.map(({ id }) => id))).toEqual(new Set([half.id, helper.id]));
    for (const one of found) expect(await leftovers?.remove(one)).toBe(true);
    expect(await leftovers?.find()).toEqual([]);
    await running.line.rpc("ping", {});
  });

  test("are images of builds that nobody uses, with the steps between, and their bytes", async () => {
    const bench = await openBench();
    const { leftovers, builds } = bench.runtime;
    const dockerfile = `FROM ${DEBIAN}\nRUN head -c 5000000 /dev/urandom > /ballast\nRUN echo > /x\n`;
    const files = new Map([["Dockerfile", Buffer.from(dockerfile)]]);
    const request = { files, force: true, network: "none", ownerId: "someone" } as const;
    const built = await builds?.build(request);
    if (built === undefined) throw new Error("the Docker runtime builds no images");
    const machine = await bench.machine({ template: built });
    later(LIMITS.builtImageKeptMs.value + 60_000);
    expect(await leftovers?.find()).toEqual([]);
    await bench.runtime.destroy(machine.id);
    const found = (await leftovers?.find()) ?? [];
    expect(found.length).toBeGreaterThan(2);
    expect(new Set(found.map(({ kind }) => kind))).toEqual(new Set(["image"]));
    const bytes = found.reduce((sum, { bytes: own = 0 }) => sum + own, 0);
    expect(bytes).toBeGreaterThanOrEqual(5_000_000);
    expect(bytes).toBeLessThan(6_000_000);
    for (const one of found) expect(await leftovers?.remove(one), one.reason).toBe(true);
    expect(await leftovers?.find()).toEqual([]);
    expect(await docker.getImage(DEBIAN).inspect()).toBeDefined();
  });
});
