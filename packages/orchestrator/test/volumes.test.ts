/**
 * Goal: a volume is there as long as somebody may use it and gone when nobody may, whoever races,
 * fails or crashes meanwhile.
 */
import {
  type CreateVolumeBody,
  InsienError,
  type SandboxId,
  newId,
  newSandboxId,
} from "@insien/protocol";
import { FakeHost } from "@insien/runtime/fake";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CreateRequest } from "../src/app/create-request.ts";
import type { Principal } from "../src/app/principal.ts";
import type { Database } from "../src/db/index.ts";
import { newCreateRequest } from "./create-request.fixture.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { TestNode } from "./test-node.fixture.ts";

const present = DATABASES.filter((database) => database.present);
const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "nothing thrown",
    (error: unknown) => (error instanceof InsienError ? error.code : String(error)),
  );

describe.for(present)("volumes on the $kind database", ({ prepare }) => {
  let database: Database;
  let host: FakeHost;
  let node: TestNode;
  let owner: Principal;
  const nodes: TestNode[] = [];
  beforeAll(async () => {
    database = await openForTests(await prepare());
  });
  beforeEach(async () => {
    host = new FakeHost();
    owner = { keyId: "key", ownerId: newId(), admin: false };
    node = await startNode("here");
  });
  afterEach(async () => {
    for (const each of nodes.splice(0)) await each[Symbol.asyncDispose]();
  });

  async function startNode(nodeId: string, nfsServers: string[] = []): Promise<TestNode> {
    const started = await TestNode.start(`${nodeId}-${owner.ownerId}`, database, {
      host,
      nfsServers,
    });
    nodes.push(started);
    return started;
  }
  const newVolume = (body: Partial<CreateVolumeBody> = {}) =>
    node.volumes.create(owner, { name: `v${newId()}`, ...body });
  const newSandbox = (over: Partial<CreateRequest> = {}) =>
    node.lifecycle.create(newCreateRequest({ ownerId: owner.ownerId, ...over }));
  const stored = () => [...host.volumes.keys()];
  const mountedIn = (id: SandboxId) => database.volumes.ofSandbox(id);
  const machineOf = async (id: SandboxId) => {
    const row = await database.sandboxes.get(id);
    return row?.machineId === undefined ? undefined : host.machines.get(row.machineId);
  };

  describe("a network volume", () => {
    test("is found by name and id by its owner, and by nobody else", async () => {
      const made = await newVolume({ name: "models", size: "10g", mount_path: "/models/" });
      expect(made).toMatchObject({ driver: "local", mountPath: "/models", mounts: [] });
      expect(stored()).toEqual([made.id]);
      for (const key of ["models", made.id])
        expect(await node.volumes.get(owner, key)).toMatchObject({ id: made.id });
      expect(await node.volumes.list(owner)).toHaveLength(1);
      const stranger = { ...owner, ownerId: newId() };
      expect(await node.volumes.list(stranger)).toEqual([]);
      expect(await codeOf(node.volumes.get(stranger, made.id))).toBe("volume_not_found");
      expect(await codeOf(node.volumes.delete(stranger, "models"))).toBe("volume_not_found");
    });

    test("takes its name once, until it is deleted", async () => {
      await newVolume({ name: "cache" });
      expect(await codeOf(newVolume({ name: "cache" }))).toBe("volume_exists");
      expect(stored()).toHaveLength(1);
      await node.volumes.delete(owner, "cache");
      expect(stored()).toEqual([]);
      await newVolume({ name: "cache" });
    });

    test("that cannot be stored leaves nothing", async () => {
      node.runtime.volumes.failNext(new InsienError("volume_unsupported", "no size here"));
      expect(await codeOf(newVolume({ name: "sized" }))).toBe("volume_unsupported");
      expect(await node.volumes.list(owner)).toEqual([]);
      expect(await node.storage.orphans()).toEqual([]);
      await newVolume({ name: "sized" });
    });

    test("of an nfs server is made where the server is allowed, or by administrators", async () => {
      const options = { server: "nas.internal", path: "/exports" };
      const body: CreateVolumeBody = { name: "far", driver: "nfs", options };
      expect(await codeOf(node.volumes.create(owner, body))).toBe("forbidden");
      const allowing = await startNode("allowing", ["nas.internal"]);
      expect(await allowing.volumes.create(owner, body)).toMatchObject({ nodeId: undefined });
      await node.volumes.create({ ...owner, admin: true }, { ...body, name: "other" });
    });

    test("whose storage could not be removed at once is removed by the next round", async () => {
      const { id } = await newVolume({ name: "stuck" });
      node.runtime.volumes.failNext(new InsienError("volume_failed", "the daemon is away"));
      await node.volumes.delete(owner, "stuck");
      expect(await codeOf(node.volumes.get(owner, "stuck"))).toBe("volume_not_found");
      expect(stored()).toEqual([id]);
      await node.storage.settle();
      expect(stored()).toEqual([]);
    });

    test("of another node is wished away here, and removed there", async () => {
      const { id } = await newVolume({ name: "elsewhere" });
      const other = await startNode("there");
      await other.volumes.delete(owner, "elsewhere");
      await other.storage.settle();
      expect(stored()).toEqual([id]);
      await node.storage.settle();
      expect(stored()).toEqual([]);
      expect(await database.volumes.known([id])).toEqual(new Set());
    });
  });

  describe("a create with volumes", () => {
    test("makes local ones, mounts network ones, and removes the former at the end", async () => {
      const shared = await newVolume({ name: "shared" });
      const { id } = await newSandbox({
        volumes: {
          data: { mount_path: "/data/" },
          shared: { type: "network", mount_path: "/shared", read_only: true },
        },
      });
      const mounts = await mountedIn(id);
      expect(
        mounts.map(({ volume, mountPath, readOnly }) => [volume.name, mountPath, readOnly]),
      ).toEqual([
        ["data", "/data", false],
        ["shared", "/shared", true],
      ]);
      expect((await machineOf(id))?.spec.volumes).toEqual(
        mounts.map(({ volume, mountPath, readOnly }) => ({
          volumeId: volume.id,
          target: mountPath,
          readOnly,
        })),
      );
      expect(stored()).toHaveLength(2);
      const events = await database.events.list(id);
      const told = events.filter(({ type }) => type.startsWith("volume."));
      expect(told.map(({ type, data }) => [type, data["volume"]])).toEqual([
        ["volume.created", "data"],
        ["volume.mounted", "data"],
        ["volume.mounted", "shared"],
      ]);
      await node.lifecycle.destroy(id);
      expect(stored()).toEqual([shared.id]);
      await node.volumes.delete(owner, "shared");
      expect(stored()).toEqual([]);
    });

    test("is refused for a volume that is not there, is another owner's or on another node", async () => {
      const network = (name: string) => ({
        volumes: { [name]: { type: "network" as const, mount_path: "/data" } },
      });
      expect(await codeOf(newSandbox(network("nowhere")))).toBe("volume_not_found");
      await newVolume({ name: "mine" });
      expect(await codeOf(newSandbox({ ownerId: newId(), ...network("mine") }))).toBe(
        "volume_not_found",
      );
      const other = await startNode("there");
      const refused = other.lifecycle.create(
        newCreateRequest({ ownerId: owner.ownerId, ...network("mine") }),
      );
      await expect(refused).rejects.toThrow(
        /is stored on node here-.*, and this sandbox is on node/,
      );
      expect(host.machines.size).toBe(0);
    });

    test("is refused for paths within one another", async () => {
      const volumes = { one: { mount_path: "/data" }, two: { mount_path: "/data/deep" } };
      expect(await codeOf(newSandbox({ volumes }))).toBe("invalid_request");
      expect(stored()).toEqual([]);
    });

    test("that fails on the way leaves no volume, no mount and no machine", async () => {
      await newVolume({ name: "shared" });
      const volumes = {
        shared: { type: "network" as const, mount_path: "/shared" },
        one: { mount_path: "/one" },
        two: { mount_path: "/two", size: "1g" },
      };
      const id = newSandboxId();
      // The first of them is made, the second is not.
      const store = node.runtime.volumes;
      const create = store.create.bind(store);
      store.create = async (spec) => {
        if (spec.sizeBytes !== undefined) throw new InsienError("volume_unsupported", "no sizes");
        await create(spec);
      };
      expect(await codeOf(newSandbox({ id, volumes }))).toBe("volume_unsupported");
      expect(stored()).toHaveLength(1);
      expect(await mountedIn(id)).toEqual([]);
      expect(host.machines.size).toBe(0);
      await node.volumes.delete(owner, "shared");
      node.runtime.failNextCreate(new InsienError("create_failed", "the host is full"));
      const second = newSandbox({ volumes: { one: { mount_path: "/one" } } });
      expect(await codeOf(second)).toBe("create_failed");
      await expect.poll(stored).toEqual([]);
    });
  });

  describe("a mount on an existing sandbox", () => {
    test("gives a running one the volume by a new start, a stopped one for its next", async () => {
      await newVolume({ name: "shared", mount_path: "/shared" });
      await newVolume({ name: "other" });
      const { id } = await newSandbox();
      const first = await node.mounts.mount(owner, id, { volume: "shared" });
      expect(first).toMatchObject({
        restarted: true,
        mounts: [{ name: "shared", mountPath: "/shared", readOnly: false }],
      });
      expect(first.note).toMatch(/started anew.*files are kept/);
      expect((await database.sandboxes.get(id))?.state).toBe("running");
      await node.lifecycle.stop(id);
      const body = { volume: "other", mount_path: "/other", read_only: true };
      const second = await node.mounts.mount(owner, id, body);
      expect(second).toMatchObject({ restarted: false });
      expect(second.note).toContain("when it is started");
      expect((await database.sandboxes.get(id))?.state).toBe("stopped");
      expect((await machineOf(id))?.spec.volumes?.map(({ target }) => target)).toEqual([
        "/other",
        "/shared",
      ]);
      await node.lifecycle.start(id);
      const third = await node.mounts.unmount(owner, id, "shared");
      expect(third).toMatchObject({ restarted: true, mounts: [{ name: "other" }] });
      expect(await codeOf(node.mounts.unmount(owner, id, "shared"))).toBe("volume_not_found");
      const types = (await database.events.list(id)).map(({ type }) => type);
      expect(types.filter((type) => type.startsWith("volume."))).toEqual([
        "volume.mounted",
        "volume.mounted",
        "volume.unmounted",
      ]);
    });

    test("is refused where the path or the volume is taken, or there is none", async () => {
      await newVolume({ name: "shared" });
      await newVolume({ name: "second" });
      const { id } = await newSandbox({ volumes: { own: { mount_path: "/data" } } });
      const mount = (volume: string, path?: string) =>
        codeOf(
          node.mounts.mount(owner, id, {
            volume,
            ...(path === undefined ? {} : { mount_path: path }),
          }),
        );
      expect(await mount("nowhere", "/x")).toBe("volume_not_found");
      expect(await mount("shared")).toBe("invalid_request");
      expect(await mount("shared", "/data/inside")).toBe("conflict");
      expect(await mount("shared", "/shared")).toBe("nothing thrown");
      expect(await mount("shared", "/again")).toBe("conflict");
      expect(await mount("second", "/shared/")).toBe("conflict");
      const stranger = { ...owner, ownerId: newId() };
      expect(await codeOf(node.mounts.mount(stranger, id, { volume: "second" }))).toBe(
        "sandbox_not_found",
      );
      expect(await codeOf(node.mounts.unmount(owner, id, "own"))).toBe("conflict");
      expect(await mountedIn(id)).toHaveLength(2);
    });

    test("that fails leaves the sandbox running with what it had", async () => {
      await newVolume({ name: "shared" });
      const { id } = await newSandbox({ volumes: { own: { mount_path: "/data" } } });
      node.runtime.volumes.failNext(new InsienError("volume_failed", "the driver says no"));
      const failed = node.mounts.mount(owner, id, { volume: "shared", mount_path: "/shared" });
      expect(await codeOf(failed)).toBe("volume_failed");
      expect((await database.sandboxes.get(id))?.state).toBe("running");
      expect((await mountedIn(id)).map(({ volume }) => volume.name)).toEqual(["own"]);
      await node.volumes.delete(owner, "shared");
      const gone = node.mounts.mount(owner, id, { volume: "shared", mount_path: "/shared" });
      expect(await codeOf(gone)).toBe("volume_not_found");
    });

    test("comes one after the other, and all that were asked for are there in the end", async () => {
      const names = ["a", "b", "c", "d"];
      for (const name of names) await newVolume({ name, mount_path: `/mnt-${name}` });
      const { id } = await newSandbox();
      const outcomes = await Promise.all([
        ...names.map((volume) => codeOf(node.mounts.mount(owner, id, { volume }))),
        codeOf(node.mounts.mount(owner, id, { volume: "a", mount_path: "/elsewhere" })),
      ]);
      expect(outcomes).toEqual([...names.map(() => "nothing thrown"), "conflict"]);
      const parts = (await machineOf(id))?.spec.volumes?.map(({ target }) => target);
      expect(parts).toEqual(names.map((name) => `/mnt-${name}`));
    });

    test("of a quota that is used up is refused before anything is stopped", async () => {
      const admin = { ...owner, admin: true };
      await newVolume({ name: "shared" });
      const { id } = await newSandbox();
      await node.quotas.set(admin, owner.ownerId, { cpu: 0.5 });
      const refused = node.mounts.mount(owner, id, { volume: "shared", mount_path: "/shared" });
      expect(await codeOf(refused)).toBe("quota_exceeded");
      expect((await database.sandboxes.get(id))?.state).toBe("running");
      expect(await mountedIn(id)).toEqual([]);
    });
  });

  describe("deleting a volume in use", () => {
    test("is refused with the sandboxes' names, stopped ones too", async () => {
      await newVolume({ name: "shared" });
      const volumes = { shared: { type: "network" as const, mount_path: "/shared" } };
      const [one, two] = [await newSandbox({ volumes }), await newSandbox({ volumes })];
      await node.lifecycle.stop(two.id);
      const error = await node.volumes.delete(owner, "shared").catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "volume_in_use", status: 409 });
      expect((error as InsienError).message).toContain(one.id);
      expect((error as InsienError).message).toContain(two.id);
      await node.lifecycle.destroy(one.id);
      expect(await codeOf(node.volumes.delete(owner, "shared"))).toBe("volume_in_use");
      await node.lifecycle.destroy(two.id);
      expect(await codeOf(node.volumes.delete(owner, "shared"))).toBe("nothing thrown");
    });

    test("against a mount at the same moment: one of them wins", async () => {
      for (let round = 0; round < 20; round += 1) {
        const { id: volumeId } = await newVolume({ name: `raced${round}` });
        const { id } = await newSandbox();
        const mount = () =>
          codeOf(
            database.volumes.mount({ sandboxId: id, volumeId, mountPath: "/r", readOnly: false }),
          );
        const remove = () => codeOf(node.volumes.delete(owner, volumeId));
        const [first, second] = round % 2 === 0 ? [mount, remove] : [remove, mount];
        const outcomes = (await Promise.all([first(), second()])).toSorted();
        const isMounted = (await mountedIn(id)).length === 1;
        expect(outcomes).toEqual(
          isMounted ? ["nothing thrown", "volume_in_use"] : ["nothing thrown", "volume_not_found"],
        );
        expect(stored().includes(volumeId)).toBe(isMounted);
        await node.lifecycle.destroy(id);
      }
    });
  });

  describe("what a crash leaves", () => {
    test("a local volume of a sandbox that is over is removed by the next round", async () => {
      const { id } = await newSandbox({ volumes: { own: { mount_path: "/data" } } });
      const row = await database.sandboxes.get(id);
      if (row?.machineId === undefined) throw new Error("no machine");
      await node.runtime.destroy(row.machineId);
      const destroyed = { state: "destroyed" as const, endedAt: new Date() };
      await database.sandboxes.transition(row, destroyed, { type: "sandbox.destroyed" });
      expect(stored()).toHaveLength(1);
      await node.storage.settle();
      expect(stored()).toEqual([]);
    });

    test("a mount that was noted and not carried out is carried out when asked again", async () => {
      const { id: volumeId } = await newVolume({ name: "shared" });
      const { id } = await newSandbox();
      const noted = { sandboxId: id, volumeId, mountPath: "/shared", readOnly: false };
      await database.volumes.mount(noted);
      await node.lifecycle.stop(id);
      const body = { volume: "shared", mount_path: "/shared" };
      expect(await codeOf(node.mounts.mount(owner, id, { ...body, read_only: true }))).toBe(
        "conflict",
      );
      expect(await node.mounts.mount(owner, id, body)).toMatchObject({ restarted: false });
      expect((await machineOf(id))?.spec.volumes).toEqual([
        { volumeId, target: "/shared", readOnly: false },
      ]);
    });

    test("storage without a row is an orphan; a volume, another node's storage and one in use are none", async () => {
      const made = await newVolume();
      const other = await startNode("there");
      await other.runtime.volumes.create({ volumeId: "theirs", driver: "local" });
      await node.runtime.volumes.create({ volumeId: "lost", driver: "local" });
      expect((await node.storage.orphans()).map(({ volumeId }) => volumeId)).toEqual(["lost"]);
      expect(await node.storage.removeOrphan(made.id)).toBe(false);
      expect(await node.storage.removeOrphan("theirs")).toBe(false);
      expect(await node.storage.removeOrphan("lost")).toBe(true);
      expect(stored().toSorted()).toEqual([made.id, "theirs"].toSorted());
    });
  });

  test("paths in a volume are found by its name or id, and do not lead out", async () => {
    const shared = await newVolume({ name: "shared" });
    const { id } = await newSandbox({
      volumes: { shared: { type: "network", mount_path: "/shared" } },
    });
    for (const key of ["shared", shared.id])
      expect(await node.mounts.pathIn(owner, id, key, "a/b.txt")).toEqual({
        path: "/shared/a/b.txt",
        root: "/shared",
      });
    expect(await codeOf(node.mounts.pathIn(owner, id, "shared", "../etc/passwd"))).toBe(
      "invalid_path",
    );
    expect(await codeOf(node.mounts.pathIn(owner, id, "own", "x"))).toBe("volume_not_found");
    const stranger = { ...owner, ownerId: newId() };
    expect(await codeOf(node.mounts.pathIn(stranger, id, "shared", "x"))).toBe("sandbox_not_found");
  });
});
