/**
 * Goal: server, monitor and cleanup worker are separate processes on one PostgreSQL and work
 * together, two of each kind too: one works, the other stands by, and takes over when it is killed.
 */
import { Sandbox } from "@insien/sandbox";
import { type TestServer, hasPostgres, mustHave, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";
import { BesideProcess } from "./beside-process.ts";

const TAKEOVER_MS = 30_000;
const MIB = 1024 ** 2;

interface Sample {
  at: string;
  cpu_cores: number;
  memory_bytes: number;
  memory_limit_bytes: number;
  pids: number;
}

const holds = (lease: string) => (each: BesideProcess) =>
  each.output
    .split("\n")
    .some((line) => line.includes(`"lease":"${lease}`) && line.includes("holds"));

const canRun = mustHave(await hasPostgres(), "PostgreSQL") && presentRuntimes.includes("docker");

describe.runIf(canRun)("server, monitor and worker", () => {
  let server: TestServer;
  let env: Record<string, string>;
  const beside: BesideProcess[] = [];

  const start = (...args: string[]): BesideProcess => {
    const started = new BesideProcess(args, env);
    beside.push(started);
    return started;
  };

  beforeAll(async () => {
    const apart = {
      INSIEN_MONITOR: "apart",
      INSIEN_WORKER: "apart",
      INSIEN_MONITOR_INTERVAL_SECONDS: "1",
      INSIEN_WORKER_INTERVAL_SECONDS: "5",
    };
    server = await startServer({ runtime: "docker", database: "postgresql", env: apart });
    env = {
      ...apart,
      INSIEN_DATA_DIR: server.dataDirectory,
      INSIEN_RUNTIME: "docker",
      DATABASE_URL: server.databaseUrl ?? "",
    };
  });
  afterAll(async () => {
    for (const each of beside) await each[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const get = async <Answer>(path: string): Promise<Answer> => {
    const answer = await fetch(`${server.url}${path}`, { headers: server.headers });
    expect(answer.status).toBe(200);
    return (await answer.json()) as Answer;
  };
  const samplesOf = async ({ id }: Sandbox): Promise<Sample[]> =>
    (await get<{ items: Sample[] }>(`/api/v1/sandboxes/${id}/metrics`)).items;
  const newestOf = async (sandbox: Sandbox): Promise<number> =>
    Date.parse((await samplesOf(sandbox)).at(-1)?.at ?? "1970-01-01");
  const eventsOf = async ({ id }: Sandbox) =>
    (
      await get<{ items: { type: string; data: Record<string, unknown> }[] }>(
        `/api/v1/sandboxes/${id}/events`,
      )
    ).items;
  const create = (resources?: object) =>
    Sandbox.create({
      apiKey: server.apiKey,
      apiUrl: server.url,
      ...(resources === undefined ? {} : { resources }),
    });

  test("two monitors: one measures, and the other when that one is killed", async () => {
    await using sandbox = await create();
    const busy = await sandbox.commands.start("while :; do :; done");
    const monitors = [start("monitor"), start("monitor")];
    await waitFor(() => monitors.some(holds("monitor:")), {
      timeoutMs: TAKEOVER_MS,
      describe: "a monitor to begin",
    });
    await waitFor(async () => ((await samplesOf(sandbox)).at(-1)?.cpu_cores ?? 0) > 0.2, {
      timeoutMs: TAKEOVER_MS,
      describe: "a measurement of a busy sandbox",
    });
    const [sample] = (await samplesOf(sandbox)).slice(-1);
    expect(sample?.cpu_cores).toBeLessThan(1.5);
    expect(sample?.memory_bytes).toBeGreaterThan(MIB);
    expect(sample?.memory_limit_bytes).toBe(512 * MIB);
    expect(sample?.pids).toBeGreaterThan(1);
    await busy.kill();

    const first = monitors.find(holds("monitor:"));
    const second = monitors.find((each) => each !== first);
    expect(second === undefined || holds("monitor:")(second)).toBe(false);
    await first?.kill();
    const killedAt = Date.now();
    await waitFor(() => second !== undefined && holds("monitor:")(second), {
      timeoutMs: TAKEOVER_MS,
      describe: "the other monitor to take over",
    });
    await waitFor(async () => (await newestOf(sandbox)) > killedAt, {
      timeoutMs: TAKEOVER_MS,
      describe: "a measurement by the other monitor",
    });
  });

  test("a command that eats memory is told in the sandbox's events, and its sandbox goes on", async () => {
    await using sandbox = await create({ memory: "128m" });
    await waitFor(async () => (await samplesOf(sandbox)).length > 0, {
      timeoutMs: TAKEOVER_MS,
      describe: "the sandbox to be measured",
    });
    const eater = await sandbox.commands.run("tail /dev/zero");
    expect(eater.exitCode).not.toBe(0);
    const kills = async () =>
      (await eventsOf(sandbox)).filter(({ type }) => type === "sandbox.out_of_memory");
    await waitFor(async () => (await kills()).length > 0, {
      timeoutMs: TAKEOVER_MS,
      describe: "the event",
    });
    expect(await kills()).toMatchObject([{ data: { memory_limit_bytes: 128 * MIB } }]);
    expect((await sandbox.commands.run("echo alive")).stdout).toBe("alive\n");
  });

  test("the server's metrics have what another process measured", async () => {
    await using sandbox = await create();
    const series = `insien_sandbox_memory_bytes{sandbox="${sandbox.id}"}`;
    await waitFor(
      async () => {
        const answer = await fetch(`${server.url}/metrics`, { headers: server.headers });
        return (await answer.text()).includes(series);
      },
      { timeoutMs: TAKEOVER_MS, describe: "the sandbox's series" },
    );
  });

  test("two workers: one cleans up, and the other when that one is killed", async () => {
    const workers = [start("worker"), start("worker")];
    await waitFor(() => workers.some(holds("worker:")), {
      timeoutMs: TAKEOVER_MS,
      describe: "a worker to begin",
    });
    const first = workers.find(holds("worker:"));
    const second = workers.find((each) => each !== first);
    await first?.kill();
    await waitFor(() => second !== undefined && holds("worker:")(second), {
      timeoutMs: TAKEOVER_MS,
      describe: "the other worker to take over",
    });
  });

  test("a worker says what it would do, and leaves what the server has", async () => {
    await using sandbox = await create();
    const dry = start("worker", "--dry-run");
    expect(await dry.ended()).toBe(0);
    expect(dry.output).toBe("There is nothing that nobody owns.\n");
    expect(await start("worker", "--once").ended()).toBe(0);
    expect((await sandbox.commands.run("echo alive")).stdout).toBe("alive\n");
  });

  test("an unknown command or option is refused with a sentence", async () => {
    const unknown = start("wander");
    expect(await unknown.ended()).toBe(1);
    expect(unknown.output).toContain("one of serve, monitor, worker, doctor");
    const option = start("worker", "--everything");
    expect(await option.ended()).toBe(1);
    expect(option.output).toContain("--dry-run, --once");
  });
});

test("on the embedded database the server does all itself, and the doctor asks it", async () => {
  await using server = await startServer({ database: "embedded" });
  const env = { INSIEN_DATA_DIR: server.dataDirectory, PORT: new URL(server.url).port };
  for (const command of ["monitor", "worker"]) {
    await using refused = new BesideProcess([command], env);
    expect(await refused.ended()).toBe(1);
    expect(refused.output).toContain("The embedded database belongs to the server's process");
    expect(refused.output).toContain("DATABASE_URL");
  }
  await using doctor = new BesideProcess(["doctor", "--json"], { ...env, WS_PORT: "0" });
  expect(await doctor.ended()).toBe(0);
  const { ok, checks } = JSON.parse(doctor.output) as {
    ok: boolean;
    checks: { name: string; found: string }[];
  };
  expect(ok).toBe(true);
  const found = Object.fromEntries(checks.map((check) => [check.name, check.found]));
  expect(found["server"]).toContain(server.url);
  expect(found["port"]).toContain("running server's");
  expect(found["database"]).toBe("The embedded one answers its server");
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
});
