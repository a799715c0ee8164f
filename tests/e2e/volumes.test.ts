/**
 * Goal: volumes of real machines. Sandboxes share one, keep their own files when one is mounted while
 * they run, and leave no storage behind.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { MountAnswer, VolumeView } from "@insien/protocol";
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { machinesOf } from "../machines.ts";
import { presentRuntimes } from "../runtimes.ts";

const run = promisify(execFile);

describe.each(presentRuntimes)("volumes on %s", (runtime) => {
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };
  beforeAll(async () => {
    server = await startServer({ runtime });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    expect(await machinesOf(server, runtime).catch(() => [])).toEqual([]);
  });

  /** One test's failure is not the next one's. */
  afterEach(async () => {
    type List = { items: { id: string }[] };
    for (const kind of ["sandboxes", "volumes"]) {
      const { items } = (await send<List>("GET", `/${kind}`)).body;
      for (const { id } of items) await send("DELETE", `/${kind}/${id}`);
    }
  });

  interface Reply<Body> {
    status: number;
    body: Body & { error: { code: string; message: string } };
  }
  async function send<Body = object>(
    method: string,
    path: string,
    body?: object | string,
  ): Promise<Reply<Body>> {
    const type = typeof body === "string" ? "application/octet-stream" : "application/json";
    const answer = await fetch(`${server.url}/api/v1${path}`, {
      method,
      headers: { ...server.headers, ...(body === undefined ? {} : { "content-type": type }) },
      ...(body === undefined
        ? {}
        : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: answer.status, body: (isJson ? JSON.parse(text) : { text }) as never };
  }

  async function newSandbox(body: object = {}): Promise<Sandbox> {
    const { status, body: view } = await send<{ id: string }>("POST", "/sandboxes", body);
    expect(status, JSON.stringify(view)).toBe(201);
    return Sandbox.connect(view.id, connection);
  }
  async function newVolume(name: string): Promise<VolumeView> {
    const { status, body } = await send<VolumeView>("POST", "/volumes", { name });
    expect(status, JSON.stringify(body)).toBe(201);
    return body;
  }
  const shell = async (sandbox: Sandbox, line: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await sandbox.commands.run(line);
    return exitCode === 0 ? stdout : `exit ${exitCode}: ${stderr}`;
  };

  /** The storage of this server's volumes, as the host tells of it. */
  async function storedVolumes(): Promise<string[]> {
    if (runtime === "bubblewrap") {
      const { stdout } = await run("find", [server.dataDirectory, "-path", "*volumes/*", "-prune"]);
      return stdout.split("\n").filter(Boolean);
    }
    const owner = (await readFile(join(server.dataDirectory, "node-id"), "utf8")).trim();
    const filters = ["--filter", `label=insien.owner=${owner}`];
    const { stdout } = await run("docker", ["volume", "ls", "--quiet", ...filters]);
    return stdout.split("\n").filter(Boolean);
  }

  test("two sandboxes share a network volume, and it is not deleted while they do", async () => {
    await newVolume("shared");
    const volumes = { shared: { type: "network", mount_path: "/shared" } };
    const [one, two] = [await newSandbox({ volumes }), await newSandbox({ volumes })];
    expect(await shell(one, "echo from one > /shared/note")).toBe("");
    expect(await shell(two, "cat /shared/note && echo from two > /shared/two")).toBe("from one\n");
    expect(await shell(one, "cat /shared/*")).toBe("from one\nfrom two\n");
    const inUse = await send("DELETE", "/volumes/shared");
    expect(inUse.status).toBe(409);
    expect(inUse.body.error.code).toBe("volume_in_use");
    expect(inUse.body.error.message).toContain(one.id);
    await one.destroy();
    await send("POST", `/sandboxes/${two.id}/stop`, {});
    expect((await send("DELETE", "/volumes/shared")).status).toBe(409);
    await two.destroy();
    expect((await send("DELETE", "/volumes/shared")).body).toEqual({ deleted: true });
    await waitFor(async () => (await storedVolumes()).length === 0, { timeoutMs: 30_000 });
  });

  test("a mount on a running sandbox keeps its files, and its volume outlives the unmount", async () => {
    await newVolume("late");
    const sandbox = await newSandbox();
    expect(await shell(sandbox, "echo mine > ~/mine && mkdir -p ~/work && echo x > ~/work/x")).toBe(
      "",
    );
    const mounted = await send<MountAnswer>("POST", `/sandboxes/${sandbox.id}/volumes`, {
      volume: "late",
      mount_path: "/late",
    });
    expect(mounted.status, JSON.stringify(mounted.body)).toBe(200);
    expect(mounted.body).toMatchObject({ restarted: true, items: [{ name: "late" }] });
    expect(mounted.body.note).toContain("its files are kept");
    expect(await shell(sandbox, "cat ~/mine ~/work/x && echo kept > /late/kept")).toBe("mine\nx\n");
    const taken = await send<MountAnswer>("DELETE", `/sandboxes/${sandbox.id}/volumes/late`);
    expect(taken.body).toMatchObject({ restarted: true, items: [] });
    expect(await shell(sandbox, "cat ~/mine; ls /late 2>/dev/null")).not.toContain("kept");
    await send("POST", `/sandboxes/${sandbox.id}/volumes`, {
      volume: "late",
      mount_path: "/again",
    });
    expect(await shell(sandbox, "cat /again/kept")).toBe("kept\n");
    await sandbox.destroy();
    expect((await send("DELETE", "/volumes/late")).status).toBe(200);
  });

  test("files of a volume are read and written by the volume, and nothing beside it", async () => {
    await newVolume("docs");
    const { id } = await newVolume("pages");
    const sandbox = await newSandbox({
      volumes: {
        docs: { type: "network", mount_path: "/docs" },
        pages: { type: "network", mount_path: "/pages", read_only: true },
      },
    });
    const files = (volume: string, path: string) =>
      `/sandboxes/${sandbox.id}/volumes/${volume}/files?path=${encodeURIComponent(path)}`;
    const written = await send("PUT", files("docs", "a/b.txt"), "content");
    expect(written.body).toEqual({ path: "/a/b.txt", size: 7 });
    expect(await shell(sandbox, "cat /docs/a/b.txt")).toBe("content");
    expect((await send("GET", files("docs", "/a/b.txt"))).body).toEqual({ text: "content" });
    expect((await send("HEAD", files("docs", "a/b.txt"))).status).toBe(200);
    const directories = (path: string) => files("docs", path).replace("/files?", "/directories?");
    expect((await send("POST", directories("made/deep"))).body).toEqual({
      path: "/made/deep",
      created: true,
    });
    const listed = await send<{ items: { path: string; type: string }[] }>("GET", directories("/"));
    expect(listed.body.items.map(({ path, type }) => [path, type])).toEqual([
      ["/a", "directory"],
      ["/made", "directory"],
    ]);
    expect((await send("GET", directories("../"))).body.error.code).toBe("invalid_path");
    for (const path of ["../etc/passwd", "a/../../etc/passwd", "/../etc/passwd"]) {
      const { status, body } = await send("GET", files("docs", path));
      expect([status, body.error.code]).toEqual([400, "invalid_path"]);
    }
    const readOnly = await send("PUT", files(id, "x"), "x");
    expect([readOnly.status, readOnly.body.error.code]).toEqual([403, "permission_denied"]);
    const other = await send("GET", files("nowhere", "x"));
    expect([other.status, other.body.error.code]).toEqual([404, "volume_not_found"]);
    await send("POST", `/sandboxes/${sandbox.id}/stop`, {});
    const stopped = await send("GET", files("docs", "a/b.txt"));
    expect([stopped.status, stopped.body.error.code]).toEqual([409, "sandbox_state"]);
    expect(stopped.body.error.message).toContain("start it first");
    await sandbox.destroy();
    for (const name of ["docs", "pages"]) await send("DELETE", `/volumes/${name}`);
  });

  test("a local volume is its sandbox's alone, survives a stop, and is gone with it", async () => {
    const sandbox = await newSandbox({ volumes: { data: { mount_path: "/data" } } });
    expect(await shell(sandbox, "echo there > /data/there")).toBe("");
    expect(await storedVolumes()).toHaveLength(1);
    expect((await send<{ items: unknown[] }>("GET", "/volumes")).body.items).toEqual([]);
    await send("POST", `/sandboxes/${sandbox.id}/stop`, {});
    expect((await send("POST", `/sandboxes/${sandbox.id}/start`)).status).toBe(200);
    expect(await shell(sandbox, "cat /data/there")).toBe("there\n");
    await sandbox.destroy();
    await waitFor(async () => (await storedVolumes()).length === 0, { timeoutMs: 30_000 });
  });

  test("a create that is refused leaves no storage and no sandbox", async () => {
    const { status, body } = await send("POST", "/sandboxes", {
      volumes: {
        data: { mount_path: "/data" },
        nowhere: { type: "network", mount_path: "/nowhere" },
      },
    });
    expect([status, body.error.code]).toEqual([404, "volume_not_found"]);
    expect(await storedVolumes()).toEqual([]);
    expect((await send<{ items: unknown[] }>("GET", "/sandboxes")).body.items).toEqual([]);
  });
});
