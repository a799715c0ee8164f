/** What SandboxClient sends and how it takes answers, held against the protocol's own schemas. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createSandboxBody,
  createVolumeBody,
  entrypointBody,
  environmentBody,
  execBody,
  mountBody,
} from "@insien/protocol";
import {
  SandboxClient,
  SandboxConnectionError,
  SandboxTimeoutError,
  SandboxValidationError,
} from "@insien/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  checkExchange,
  type Exchange,
  AT,
  sandbox,
  volume,
  mounted,
  environment,
  entrypoint,
  executed,
  file,
} from "./exchange.fixture.ts";
import { RecordingServer } from "./recording-server.fixture.ts";

const BOX = "/api/v1/sandboxes/box1";
const exchanges: Record<string, Exchange> = {
  getSandboxStatus: {
    call: (client) => client.getSandboxStatus("box1"),
    request: `GET ${BOX}`,
    answer: sandbox,
    result: {
      id: "box1",
      state: "running",
      readOnly: false,
      metadata: { some_key: "kept" },
      resources: { maxRetries: 3 },
      main: { exitCode: 1, changedAt: new Date(AT) },
      lastActivityAt: new Date(AT),
    },
  },
  deleteSandbox: {
    call: (client) => client.deleteSandbox("box1"),
    request: `DELETE ${BOX}`,
    answer: { destroyed: true },
    result: true,
  },
  stopSandbox: {
    call: (client) => client.stopSandbox("box1", 5),
    request: `POST ${BOX}/stop`,
    sent: { grace_ms: 5000 },
    answer: sandbox,
    result: { id: "box1" },
  },
  startSandbox: {
    call: (client) => client.startSandbox("box1"),
    request: `POST ${BOX}/start`,
    answer: sandbox,
    result: { id: "box1" },
  },
  restartSandbox: {
    call: (client) => client.restartSandbox("box1"),
    request: `POST ${BOX}/restart`,
    answer: sandbox,
    result: { id: "box1" },
  },
  executeCommand: {
    call: (client) => client.executeCommand("box1", "ls", { env: { A_b: "c" }, cwd: "/" }),
    request: `POST ${BOX}/exec`,
    body: execBody,
    sent: { shell: "ls", environment: { A_b: "c" }, cwd: "/" },
    answer: executed,
    result: { stdout: "o", stderr: "e", exitCode: 3, durationMs: 5 },
  },
  "executeCommand with a list": {
    call: (client) => client.executeCommand("box1", ["ls", "-l"]),
    request: `POST ${BOX}/exec`,
    body: execBody,
    sent: { cmd: "ls", args: ["-l"] },
    answer: executed,
    result: { exitCode: 3 },
  },
  updateEnvironment: {
    call: (client) => client.updateEnvironment("box1", { some_name: "v" }, false),
    request: `PATCH ${BOX}/environment`,
    body: environmentBody,
    sent: { environment: { some_name: "v" }, merge: false },
    answer: environment,
    result: { environment: { some_name: "v" }, restartNeeded: true },
  },
  getEnvironment: {
    call: (client) => client.getEnvironment("box1"),
    request: `GET ${BOX}/environment`,
    answer: environment,
    result: { environment: { some_name: "v" }, restartNeeded: true },
  },
  updateEntrypoint: {
    call: (client) => client.updateEntrypoint("box1", ["a"], null),
    request: `PUT ${BOX}/entrypoint`,
    body: entrypointBody,
    sent: { entrypoint: ["a"], command: null },
    answer: entrypoint,
    result: { entrypoint: ["a"], command: "b", restartNeeded: false },
  },
  getEntrypoint: {
    call: (client) => client.getEntrypoint("box1"),
    request: `GET ${BOX}/entrypoint`,
    answer: entrypoint,
    result: { command: "b" },
  },
  listDirectory: {
    call: (client) => client.listDirectory("box1", "my data", "/a b"),
    request: `GET ${BOX}/volumes/my%20data/directories?path=%2Fa+b`,
    answer: { items: [file] },
    result: [{ name: "a", mode: 0o644, modifiedAt: AT }],
  },
  makeDirectory: {
    call: (client) => client.makeDirectory("box1", "vol1", "/d"),
    request: `POST ${BOX}/volumes/vol1/directories?path=%2Fd`,
    answer: { created: true },
    result: undefined,
  },
  readFile: {
    call: (client) => client.readFile("box1", "vol1", "/f"),
    request: `GET ${BOX}/volumes/vol1/files?path=%2Ff`,
    answer: "the téxt",
    result: "the téxt",
  },
  createNetworkVolume: {
    call: (client) => client.createNetworkVolume("data", "local", "1g", "/data"),
    request: "POST /api/v1/volumes",
    body: createVolumeBody,
    sent: { name: "data", driver: "local", size: "1g", mount_path: "/data" },
    answer: volume,
    result: { id: "vol1", mounts: [{ sandboxId: "box1" }], createdAt: new Date(AT) },
  },
  "createNetworkVolume over nfs": {
    call: (client) => {
      const nfs = { server: "nfs.example.org", path: "/export", mountOptions: "vers=4" };
      return client.createNetworkVolume("data", "nfs", undefined, undefined, { nfs });
    },
    request: "POST /api/v1/volumes",
    body: createVolumeBody,
    sent: { options: { server: "nfs.example.org", path: "/export", mount_options: "vers=4" } },
    answer: volume,
    result: { id: "vol1" },
  },
  mountVolume: {
    call: (client) => client.mountVolume("box1", "data", "/data", { readOnly: true }),
    request: `POST ${BOX}/volumes`,
    body: mountBody,
    sent: { volume: "data", mount_path: "/data", read_only: true },
    answer: mounted,
    result: { restarted: true, note: "made anew", items: [{ volumeId: "vol1", readOnly: true }] },
  },
  unmountVolume: {
    call: (client) => client.unmountVolume("box1", "data"),
    request: `DELETE ${BOX}/volumes/data`,
    answer: mounted,
    result: { restarted: true },
  },
};

describe("SandboxClient on the wire", () => {
  let server: RecordingServer;
  let client: SandboxClient;
  beforeAll(async () => {
    server = await RecordingServer.start();
    client = new SandboxClient(server.url, { apiKey: "the-key" });
  });
  afterAll(async () => {
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  test.each(Object.entries(exchanges))("%s", (_name, exchange) =>
    checkExchange(server, client, exchange),
  );

  test("createSandbox sends what the server's schema takes, the models' defaults filled in", async () => {
    server.reply = () => ({ status: 201, body: sandbox });
    const created = await client.createSandbox({
      image: "python:3.9",
      command: "python app.py",
      ports: [{ internal: 8080 }],
      resources: { cpu: 2, maxRetries: 3 },
      volumes: { my_data: { mountPath: "/data" } },
    });
    expect(created.id).toBe("box1");
    expect(createSandboxBody.parse(JSON.parse(server.last.body))).toMatchObject({
      image: "python:3.9",
      command: "python app.py",
      force_build: false,
      ports: [{ internal: 8080, protocol: "http" }],
      resources: { cpu: 2, memory: "512m", max_retries: 3 },
      volumes: { my_data: { mount_path: "/data", type: "local" } },
    });
  });

  test("createSandbox tells of its progress and resolves with the sandbox", async () => {
    const lines = [
      { type: "progress", step: "build", current: 1, total: 2, message: "Step 1/2" },
      { type: "sandbox", sandbox },
    ];
    server.reply = () => ({ body: lines.map((line) => JSON.stringify(line)).join("\n") });
    const seen: unknown[] = [];
    const request = { image: "a" };
    const created = await client.createSandbox(request, { onProgress: (step) => seen.push(step) });
    expect(created.id).toBe("box1");
    expect(seen).toEqual([{ step: "build", current: 1, total: 2, message: "Step 1/2" }]);
    expect(server.last.headers.accept).toBe("application/x-ndjson");
  });

  test("an error among the lines is thrown as itself", async () => {
    const error = { code: "build_failed", message: "step 2 failed", details: { output: "x" } };
    server.reply = () => ({ body: `${JSON.stringify({ type: "error", error })}\n` });
    const creation = client.createSandbox({ image: "a" }, { onProgress: () => undefined });
    await expect(creation).rejects.toMatchObject({
      name: "SandboxOperationError",
      code: "build_failed",
      details: { output: "x" },
    });
  });

  test("listSandboxes asks for page after page of one state", async () => {
    server.requests.length = 0;
    server.reply = ({ path }) => ({
      body: path.includes("cursor=c1")
        ? { items: [sandbox] }
        : { items: [sandbox], next_cursor: "c1" },
    });
    expect(await client.listSandboxes("running")).toHaveLength(2);
    expect(server.requests.map(({ path }) => path)).toEqual([
      "/api/v1/sandboxes?state=running",
      "/api/v1/sandboxes?state=running&cursor=c1",
    ]);
  });

  test("files go as they are, and folders come as files or streams", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-client-"));
    try {
      server.reply = () => ({});
      await client.writeFile("box1", "vol1", "/f", "the téxt");
      expect(server.last).toMatchObject({ method: "PUT", body: "the téxt" });
      expect(server.last.path).toBe(`${BOX}/volumes/vol1/files?path=%2Ff`);

      await writeFile(join(directory, "local"), "local bytes");
      await client.uploadFile("box1", "vol1", "/g", join(directory, "local"));
      expect(server.last.body).toBe("local bytes");

      server.reply = () => ({ body: "zip bytes" });
      const output = join(directory, "out.zip");
      expect(await client.exportContainer("box1", "/data", output)).toBe(output);
      expect(server.last.path).toBe(`${BOX}/archive?path=%2Fdata&format=zip`);
      expect(await readFile(output, "utf8")).toBe("zip bytes");
      const stream = await client.exportContainer("box1", "/data");
      expect(await new Response(stream).text()).toBe("zip bytes");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test.each<[string, () => Promise<unknown>, string]>([
    ["cpu", () => client.createSandbox({ resources: { cpu: 9 } }), "resources.cpu"],
    ["port", () => client.createSandbox({ ports: [{ internal: 0 }] }), "ports[0].internal"],
    ["state", () => client.listSandboxes("gone" as "running"), "state"],
    ["timeout", () => client.stopSandbox("box1", 61), "timeout must be a number from 0 to 60"],
    ["variable", () => client.updateEnvironment("box1", { "a-b": "c" }), "a-b"],
    ["nothing to change", () => client.updateEntrypoint("box1"), "entrypoint"],
    ["volume", () => client.createNetworkVolume("My Volume", "local"), "name"],
    ["driver", () => client.createNetworkVolume("a", "smb" as "nfs"), "driver"],
    ["nfs", () => client.createNetworkVolume("a", "nfs"), "options"],
    ["webhook", () => client.webhooks.create({ url: "ftp://x" }), "url"],
    ["quota", () => client.quota.set("own1", { memory: "lots" }), "memory"],
  ])("a wrong %s is refused before anything is sent", async (_name, call, field) => {
    server.requests.length = 0;
    const error: unknown = await call().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SandboxValidationError);
    expect(String(error)).toContain(field);
    expect(server.requests).toEqual([]);
  });

  test.each<[string, unknown, string]>([
    ["a proxy's page", "<html><body>Welcome", 'begins with "<html>'],
    ["nothing", "", "it is missing"],
    ["a list", "[]", "must be an object"],
    ["another object", { hello: 1 }, "id is missing"],
    ["a wrong field", { ...sandbox, created_at: 7 }, "created_at must be a time"],
    ["a state there is none of", { ...sandbox, state: "dreaming" }, 'not "dreaming"'],
  ])("%s instead of a sandbox is an error that says so", async (_name, body, message) => {
    server.reply = () => ({ body });
    const error: unknown = await client.getSandboxStatus("box1").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SandboxConnectionError);
    expect(error).toMatchObject({ code: "invalid_answer" });
    expect(String(error)).toContain("GET /api/v1/sandboxes/box1");
    expect(String(error)).toContain(message);
  });

  test.each<[string, number, string]>([
    ["volume_not_found", 404, "SandboxVolumeError"],
    ["volume_in_use", 409, "SandboxVolumeError"],
    ["volume_exists", 409, "SandboxVolumeError"],
    ["volume_unsupported", 400, "SandboxVolumeError"],
    ["volume_failed", 502, "SandboxVolumeError"],
    ["sandbox_not_found", 404, "SandboxNotFoundError"],
    ["quota_exceeded", 403, "SandboxOperationError"],
    ["unauthorized", 401, "SandboxConnectionError"],
    ["timeout", 504, "SandboxTimeoutError"],
    ["invalid_request", 400, "SandboxValidationError"],
    ["internal", 500, "SandboxError"],
  ])("the server's %s with status %d becomes a %s", async (code, status, name) => {
    const error = { code, message: "why", hint: "what to do", retryable: false };
    server.reply = () => ({ status, body: { error } });
    const call = client.mountVolume("box1", "data");
    await expect(call).rejects.toMatchObject({ name, code, message: "why", hint: "what to do" });
  });

  test("volumes.delete of none is false", async () => {
    const error = { code: "volume_not_found", message: "none" };
    server.reply = () => ({ status: 404, body: { error } });
    expect(await client.volumes.delete("nosuch")).toBe(false);
  });

  test("timeoutMs of the client or the call ends a call with SandboxTimeoutError", async () => {
    await using silent = await RecordingServer.start();
    silent.silent = true;
    const hasty = new SandboxClient(silent.url, { apiKey: "k", timeoutMs: 50 });
    await expect(hasty.getSandboxStatus("box1")).rejects.toBeInstanceOf(SandboxTimeoutError);
    const patient = new SandboxClient(silent.url, { apiKey: "k" });
    const call = patient.getSandboxStatus("box1", { timeoutMs: 50 });
    await expect(call).rejects.toBeInstanceOf(SandboxTimeoutError);
    const signal = AbortSignal.abort();
    const aborted = patient.getSandboxStatus("box1", { signal });
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  });

  test("disposing ends what is under way and refuses what comes after", async () => {
    await using silent = await RecordingServer.start();
    silent.silent = true;
    let call: Promise<unknown>;
    const closed = new SandboxClient(silent.url, { apiKey: "k" });
    {
      await using using = closed;
      call = using.getSandboxStatus("box1");
      call.catch(() => undefined);
    }
    await expect(call).rejects.toMatchObject({ code: "connection_lost" });
    await expect(closed.listSandboxes()).rejects.toMatchObject({ code: "connection_lost" });
  });
});
