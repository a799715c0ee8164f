/** The two commands of the README's first screen, as a person types them. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { waitFor } from "@insien/test-kit";
import { describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const root = dirname(dirname(import.meta.dirname));
const execute = promisify(execFile);
/** A second start takes three seconds of an idle machine; its work is counted, as tests share theirs. */
const READY_CPU_MS_MAX = 3000;
const TICK_MS = 10;

/** What a process has used so far, with those of its children that have ended. */
async function cpuMsOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may have spaces; the state, the third field, comes first after it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).map(Number);
  return ticks.reduce((sum, each) => sum + each, 0) * TICK_MS;
}

/** Processes whose command line names a directory of this test. */
async function processesNaming(text: string): Promise<string[]> {
  const { stdout } = await execute("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(text));
}

describe.each(presentRuntimes)("./start.sh on %s", (runtime) => {
  test("--demo runs the example, stops everything and exits 0", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-demo-test-"));
    try {
      const { stdout, stderr } = await execute("./start.sh", ["--demo"], {
        cwd: root,
        env: { ...process.env, INSIEN_RUNTIME: runtime, TMPDIR: directory },
      });
      expect(stdout).toContain("Insien is ready");
      expect(stdout).toContain(runtime);
      expect(stdout).toContain("Hello!");
      expect(stderr).toContain("The demo worked");
      expect(await processesNaming(directory)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("whose port is taken says so and ends", async () => {
    const directory = await mkdtemp(join(tmpdir(), "insien-port-test-"));
    const owner = createServer().listen(0, "127.0.0.1");
    try {
      await once(owner, "listening");
      const address = owner.address();
      const port = typeof address === "object" && address !== null ? String(address.port) : "";
      const start = execute("./start.sh", [], {
        cwd: root,
        env: {
          ...process.env,
          ...{ PORT: port, WS_PORT: "0", INSIEN_DATA_DIR: directory, INSIEN_POOL_SIZE: "0" },
          INSIEN_RUNTIME: runtime,
        },
      });
      const stderr = expect.stringContaining(`Port ${port} is taken`);
      await expect(start).rejects.toMatchObject({ code: 1, stderr });
    } finally {
      owner.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});

test("./start.sh prints URL, key and runtime, and the second start is quick", async () => {
  const directory = await mkdtemp(join(tmpdir(), "insien-start-test-"));
  const start = async (): Promise<{ text: string; cpuMs: number }> => {
    const child = spawn("./start.sh", [], {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        ...{ PORT: "0", WS_PORT: "0", INSIEN_DATA_DIR: directory, INSIEN_POOL_SIZE: "0" },
        ...{ INSIEN_ON_STOP: "destroy", INSIEN_RUNTIME: presentRuntimes.at(-1) },
      },
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    child.stderr.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    await waitFor(() => /API docs +\S+/.test(text), { timeoutMs: 120_000, describe: "the banner" });
    const cpuMs = await cpuMsOf(child.pid ?? 0);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
    return { text, cpuMs };
  };
  try {
    const first = await start();
    const key = (await readFile(join(directory, "api-key"), "utf8")).trim();
    expect(first.text).toMatch(/URL +http:\/\/\S+:\d+/);
    expect(first.text).toContain(key);
    const second = await start();
    expect(second.text).toContain(key);
    expect(second.cpuMs).toBeGreaterThan(0);
    expect(second.cpuMs).toBeLessThan(READY_CPU_MS_MAX);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
