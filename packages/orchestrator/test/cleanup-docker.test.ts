/**
 * Goal: on a Docker daemon that several share, cleanup removes what is this node's and nobody's, and
 * nothing that carries another owner's label or none, whatever else it looks like.
 */
import { newId, newMachineId } from "@insien/protocol";
import type { AgentKit } from "@insien/runtime";
import { createDockerRuntime } from "@insien/runtime-docker";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { docker, dockerAnswers } from "../../runtime-docker/test/docker-host.ts";
import { importEmpty } from "../../runtime-docker/test/docker-images.ts";
import { VolumeStorage } from "../src/app/volume-storage.ts";
import { Cleanup } from "../src/cleanup/cleanup.ts";
import { orphanedMachines } from "../src/cleanup/orphaned-machines.ts";
import { leftovers, unusedVolumes } from "../src/cleanup/unused-storage.ts";
import type { Database } from "../src/db/index.ts";
import { openForTests, usedDataDirectory } from "./database.fixture.ts";

const log = pino({ level: "silent" });
const HOUR_MS = 3600 * 1000;
/** Cleanup only lists and removes: nothing is made with it. */
const noKit: AgentKit = { directory: "/nonexistent", command: [], environment: {}, hash: "none" };

describe.runIf(dockerAnswers)("cleanup on a daemon that is shared", () => {
  let database: Database;
  let image: string;
  const nodeId = newId();
  const foreignId = newId();
  const runtime = createDockerRuntime({ ownerId: nodeId, kit: noKit, allowSudo: false });

  beforeAll(async () => {
    database = await openForTests({ dataDirectory: await usedDataDirectory() });
    // Its containers are never started: nothing of them is needed but their labels.
    image = await importEmpty();
  });
  afterAll(async () => {
    for (const owner of [nodeId, foreignId]) await removeAll(owner);
    await docker.getImage(image).remove();
  });

  /** A machine, a volume and a network that differ in nothing but their owner. */
  const makeOf = async (owner: string) => {
    const [machine, volume] = [newMachineId(), newId()];
    const label = { "insien.owner": owner };
    await docker.createContainer({
      name: `insien-${machine}`,
      Image: image,
      Cmd: ["/nothing"],
      Labels: {
        ...label,
        "insien.machine": machine,
        "insien.template": "base",
        "insien.fingerprint": "none",
        "insien.created-at": new Date().toISOString(),
      },
    });
    const Labels = { ...label, "insien.volume": volume };
    await docker.createVolume({ Name: `insien-${owner}-${volume}`, Labels });
    await docker.createNetwork({ Name: `insien-${machine}`, Internal: true, Labels: label });
  };
  const presentOf = async (owner: string) => {
    const filters = JSON.stringify({ label: [`insien.owner=${owner}`] });
    const containers = await docker.listContainers({ all: true, filters });
    const { Volumes } = await docker.listVolumes({ filters: filters as never });
    const networks = await docker.listNetworks({ filters });
    return { containers, volumes: Volumes ?? [], networks };
  };
  const countsOf = async (owner: string) => {
    const { containers, volumes, networks } = await presentOf(owner);
    return { containers: containers.length, volumes: volumes.length, networks: networks.length };
  };
  const removeAll = async (owner: string) => {
    const { containers, volumes, networks } = await presentOf(owner);
    for (const { Id } of containers) await docker.getContainer(Id).remove({ force: true });
    for (const { Name } of volumes) await docker.getVolume(Name).remove();
    for (const { Id } of networks) await docker.getNetwork(Id).remove();
  };
  const cleanupAt = (now: Date) => {
    const { sandboxes: store, volumes: rows, nodes } = database;
    const storage = new VolumeStorage({ rows, runtime, nodeId, log });
    const holdNode = () => Promise.resolve({ [Symbol.dispose]: () => undefined });
    return new Cleanup({
      finders: [
        orphanedMachines({ runtime, store, nodes, nodeId, holdNode }),
        unusedVolumes({ storage, rows, nodeId }),
        leftovers({ runtime, imageRetentionMs: 0 }),
      ],
      now: () => now,
      log,
    });
  };

  test("removes this node's, when they are old enough, and never a stranger's", async () => {
    await makeOf(nodeId);
    await makeOf(foreignId);
    const all = { containers: 1, volumes: 1, networks: 1 };
    await cleanupAt(new Date()).run({ dryRun: false });
    expect(await countsOf(nodeId)).toMatchObject({ containers: 1, volumes: 1 });

    const planned = await cleanupAt(new Date(Date.now() + HOUR_MS)).run({ dryRun: true });
    expect(planned.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["machine", "volume"]));
    expect(await countsOf(nodeId)).toMatchObject({ containers: 1, volumes: 1 });

    const items = await cleanupAt(new Date(Date.now() + HOUR_MS)).run({ dryRun: false });
    expect(items.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(await countsOf(nodeId)).toEqual({ containers: 0, volumes: 0, networks: 0 });
    expect(await countsOf(foreignId)).toEqual(all);
    expect(await cleanupAt(new Date(Date.now() + HOUR_MS)).run({ dryRun: true })).toEqual([]);
  });
});
