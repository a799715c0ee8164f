/**
 * Goal: whoever takes over a machine's agent has won that machine and nothing else. In place of the
 * real agent a hostile one runs, with a valid token: whatever it sends or leaves unsent, creates and
 * calls on its own sandbox end with a typed error in time, and the orchestrator stays up, small and
 * quick for everyone else.
 */
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LIMITS } from "@insien/protocol";
import { Sandbox, SandboxError } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { transform } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OrchestratorWatch } from "./orchestrator-watch.ts";

/** With these a sandbox does not even come to be. */
const BEFORE_IT_RUNS = [
  ...["SILENT", "GARBAGE", "OVERSIZED_HEADER", "ENDLESS_HEADERS", "ENDLESS_CONTINUE"],
  ...["UPGRADE_UNASKED", "LYING_HELLO", "NO_JSON", "REFUSES_BIND"],
];
/** These let themselves be created first. */
const ONCE_IT_RUNS = [
  ...[
    "NULL_EVENT",
    "ENDLESS_LINE",
    "EVENT_FLOOD",
    "SILENT_LATER",
    "GARBAGE_LATER",
    "ABSURD_REFUSAL",
  ],
  ...["ENDLESS_REFUSAL", "ENDLESS_FILE", "FRAME_NO_JSON", "FRAME_NULL", "FRAME_ABSURD"],
  ...["ENDLESS_FRAME", "DIAL_FLOOD", "HALF_OPEN"],
];
/** What is let go is collected late on a busy machine; a flood that were kept would soon be gigabytes. */
const GROWTH_MAX_MIB = 400;
const DESCRIPTORS_MAX = 2_000;
const ANSWER_MS_MAX = 5_000;
const CREATE_MS_MAX = LIMITS.bootMs.value + 10_000;
const CALL_MS_MAX = 25_000;
const REQUEST_MS = 15_000;

let server: TestServer;
let neighbour: Sandbox;
let watch: OrchestratorWatch;
let settings: ConstructorParameters<typeof Sandbox>[0] & object;
let kit: string;
let realAgent: string;

const hostile = join(import.meta.dirname, "hostile-agent.fixture.ts");
const putAgent = async (text: string) => {
  await writeFile(join(kit, "new"), text);
  await rename(join(kit, "new"), join(kit, "agent.cjs"));
};

/** Starts a create whose agent behaves so; the promise in the answer is the create's. */
async function createWith(behaviour: string): Promise<{ creation: Promise<Sandbox> }> {
  const lines = join(server.dataDirectory, "lines");
  const before = new Set(await readdir(lines));
  const creation = Sandbox.create({ ...settings, requestTimeoutMs: CREATE_MS_MAX });
  creation.catch(() => undefined);
  const machineId = await waitFor(
    async () => (await readdir(lines)).find((name) => !before.has(name)),
    {
      describe: "the machine's line",
    },
  );
  await writeFile(join(kit, `behaviour-${machineId}`), behaviour);
  return { creation };
}

/** Everything that a client can ask; each has to end, in whatever way. */
function callsOn(sandbox: Sandbox): [name: string, call: () => Promise<unknown>][] {
  const base = `${server.url}/api/v1/sandboxes/${sandbox.id}`;
  const exec = async (accept: string) => {
    const response = await fetch(`${base}/exec`, {
      method: "POST",
      headers: { ...server.headers, accept, "content-type": "application/json" },
      body: JSON.stringify({ cmd: "true" }),
      signal: AbortSignal.timeout(CALL_MS_MAX),
    });
    return response.text();
  };
  const transfer = async (method: string) => {
    // A transfer may take its time, so that here the client is the one to give up.
    const signal = AbortSignal.timeout(LIMITS.lineAnswerMs.value);
    const init = {
      method,
      headers: server.headers,
      signal,
      ...(method === "PUT" ? { body: "x" } : {}),
    };
    const response = await fetch(`${base}/files?path=x`, init);
    const body = await response.arrayBuffer();
    expect(body.byteLength).toBeLessThan(100_000);
  };
  return [
    ["exec", () => exec("application/json")],
    ["exec, streamed", () => exec("application/x-ndjson")],
    ["run", () => sandbox.commands.run("true")],
    ["read", () => sandbox.files.read("x")],
    ...["GET", "HEAD", "PUT"].map((method): [string, () => Promise<unknown>] => [
      method,
      () => transfer(method),
    ]),
  ];
}

beforeAll(async () => {
  server = await startServer({ runtime: "bubblewrap" });
  settings = {
    apiKey: server.apiKey,
    apiUrl: server.url,
    reconnectTimeoutMs: 1_000,
    resources: { cpu: 0.2, memory: "128m", pids: 64 },
  };
  neighbour = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
  const kits = join(server.dataDirectory, "kit");
  kit = join(kits, (await readdir(kits)).find((name) => !name.startsWith(".")) ?? "");
  realAgent = await readFile(join(kit, "agent.cjs"), "utf8");
  const { code } = await transform(await readFile(hostile, "utf8"), {
    loader: "ts",
    format: "cjs",
  });
  await putAgent(code);
  watch = new OrchestratorWatch(server.pid, () => neighbour.commands.run("true"));
});
afterAll(async () => {
  watch?.[Symbol.dispose]();
  await server?.[Symbol.asyncDispose]();
});

describe("a hostile agent", () => {
  test("cannot hold up a create, nor leave anything of it", async () => {
    const creations: [string, Promise<Sandbox>][] = [];
    for (const behaviour of BEFORE_IT_RUNS)
      creations.push([behaviour, (await createWith(behaviour)).creation]);
    for (const [behaviour, creation] of creations) {
      const error = await creation.then(
        () => "it was created",
        (thrown: unknown) => thrown,
      );
      expect(error, behaviour).toBeInstanceOf(SandboxError);
      expect((error as SandboxError).code, `${behaviour}: ${String(error)}`).toMatch(
        /agent_unreachable|create_failed|internal/,
      );
      expect((error as SandboxError).code, `${behaviour} took too long`).not.toBe("timeout");
    }
    const states = await Array.fromAsync(Sandbox.list({ ...settings, state: "running" }));
    expect(states.map((info) => info.id)).toEqual([neighbour.id]);
  });

  test("cannot hold up a call, and harms nobody else", async () => {
    const sandboxes: [string, Sandbox][] = [];
    for (const behaviour of ONCE_IT_RUNS) {
      const { creation } = await createWith(behaviour);
      const { id } = await creation.catch((error: unknown) => {
        throw new Error(`${behaviour}: ${String(error)}`, { cause: error });
      });
      const impatient = { ...settings, requestTimeoutMs: REQUEST_MS };
      sandboxes.push([behaviour, await Sandbox.connect(id, impatient)]);
    }
    const calls = sandboxes.flatMap(([behaviour, sandbox]) =>
      callsOn(sandbox).map(async ([name, call]) => {
        const begun = performance.now();
        await call().catch(() => undefined);
        expect(performance.now() - begun, `${behaviour}, ${name}`).toBeLessThan(CALL_MS_MAX);
      }),
    );
    await Promise.all(calls);
    for (const [, sandbox] of sandboxes) expect(await sandbox.destroy()).toBe(true);
  });

  test("has not stopped, bloated or slowed the orchestrator", async () => {
    await putAgent(realAgent);
    await using afterwards = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
    expect((await afterwards.commands.run(["echo", "all", "well"])).stdout).toBe("all well\n");
    const seen = watch.seen();
    console.info("orchestrator under hostile agents:", JSON.stringify(seen));
    expect(seen.failures).toEqual([]);
    expect(seen.growthMiB).toBeLessThan(GROWTH_MAX_MIB);
    expect(seen.descriptors).toBeLessThan(DESCRIPTORS_MAX);
    expect(seen.slowestMs).toBeLessThan(ANSWER_MS_MAX);
  });

  test("has not kept others' commands out of the record", async () => {
    await neighbour.commands.run(["echo", "for the record"]);
    await waitFor(
      async () => {
        const events = await Array.fromAsync(neighbour.events());
        return events.some((event) => JSON.stringify(event.data).includes("for the record"));
      },
      { describe: "the command in the sandbox's events" },
    );
  });
});
