import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isRunning, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Insien } from "./insien.fixture.ts";

let directory: string;
const insien = new Insien();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-cli-"));
});
afterAll(() => rm(directory, { recursive: true }));

const here = () => ({
  cwd: directory,
  environment: {
    INSIEN_DATA_DIR: join(directory, "data"),
    INSIEN_RUNTIME: "bubblewrap",
    INSIEN_POOL_SIZE: "0",
    INSIEN_ON_STOP: "destroy",
    PORT: "0",
    WS_PORT: "0",
  },
});

test("up, a sandbox without a word about server or key, doctor, and down", async () => {
  const server = await insien.json<{ pid: number; url: string }>(["up", "--detach"], here());
  try {
    const again = await insien.run(["up", "--detach"], here());
    expect(again.code).toBe(2);
    expect(again.stderr).toContain("insien down");
    const id = await insien.text(["create"], here());
    expect(await insien.text(["exec", id, "echo", "hello"], here())).toBe("hello");
    const doctor = await insien.run(["doctor", "--json"], here());
    expect(JSON.parse(doctor.stdout)).toBeTruthy();
    expect(doctor.code).toBe(0);
  } finally {
    expect(await insien.text(["down"], here())).toContain("stopped");
  }
  expect(isRunning(server.pid)).toBe(false);
  expect(await insien.text(["down"], here())).toContain("No server runs");
});

test("a server that cannot start says why", async () => {
  const { environment, cwd } = here();
  const { code, stderr } = await insien.run(["up", "--detach"], {
    cwd,
    environment: { ...environment, PORT: "99999" },
  });
  expect(code).toBe(1);
  expect(stderr).toContain("PORT");
  const next = await insien.run(["up", "--detach"], {
    cwd,
    environment: { ...environment, INSIEN_RUNTIME: "podman" },
  });
  expect(next.stderr).toContain("INSIEN_RUNTIME");
  expect(next.stderr, "what an earlier start said").not.toContain("PORT");
});

test("the server's own commands tell of their options", async () => {
  expect(await insien.text(["worker", "--help"])).toContain("--dry-run");
  expect((await insien.run(["doctor", "--jsno"])).stderr).toContain("Did you mean --json");
});

test("without a server or a key, what to do is said", async () => {
  const { code, stderr } = await insien.run(["ls"], { cwd: directory });
  expect(code).toBe(2);
  expect(stderr).toContain("No server runs from");
  expect(stderr).toContain("insien up -d");
  expect(stderr).toContain("INSIEN_API_KEY");
});

test("down signals no process but the server, whatever its file says", async () => {
  const data = join(directory, "other");
  await mkdir(data);
  const environment = { ...here().environment, INSIEN_DATA_DIR: data };
  const file = (content: object) =>
    writeFile(join(data, "server.json"), JSON.stringify({ url: "http://127.0.0.1:1", ...content }));
  const sleeper = spawn("sleep", ["60"]);
  const script = "setInterval(() => undefined, 1000)";
  const namesake = spawn(process.execPath, ["-e", script, "/a/orchestrator/src/main.ts"]);
  try {
    for (const content of [
      { pid: sleeper.pid },
      { pid: -Number(sleeper.pid) },
      { pid: String(sleeper.pid) },
      { pid: namesake.pid, processStart: "an earlier boot/1" },
    ]) {
      await file(content);
      const { stdout } = await insien.run(["down"], { ...here(), environment });
      expect(stdout, JSON.stringify(content)).toContain("No server runs");
    }
    expect([sleeper.signalCode, namesake.signalCode]).toEqual([null, null]);
    // One from before its start was written is known by its program alone.
    await file({ pid: namesake.pid });
    expect(await insien.text(["down"], { ...here(), environment })).toContain("stopped");
    await waitFor(() => namesake.signalCode === "SIGTERM", { describe: "its signal" });
  } finally {
    sleeper.kill();
    namesake.kill();
  }
});
