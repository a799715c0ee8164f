/** The runtime needs no root: as `nobody` it makes machines too, with the limits there are then. */
import { spawn } from "node:child_process";
import { chown, copyFile, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { mustHave } from "@insien/test-kit";

const NOBODY = 65534;
/** Beyond those that Node marks as its own when it starts. */
const INHERITED = 40;
/** For the CommonJS packages in a bundle that is a module. */
const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';
const isRoot = process.geteuid?.() === 0;

interface Seen {
  limits: { memory?: string; cpu?: string; pids?: string };
  notes: string[];
  log: string;
  state: string;
  destroyed: boolean;
  usage: { cpuSeconds: number; memoryBytes: number; memoryLimitBytes: number; pids: number };
  diskBytes: number;
  kept: string;
  volumeDestroyed: boolean;
}

/** Runs the fixture as nobody, with a directory of the host open in descriptor 40. */
async function runAsNobody(): Promise<Seen> {
  const directory = await mkdtemp(join(tmpdir(), "insien-nobody-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await chown(directory, NOBODY, NOBODY);
  await using root = await open("/", "r");
  // A checkout may be root's alone, so Node and the program are copied to where nobody may read them.
  const node = join(directory, "node");
  await copyFile(process.execPath, node);
  const fixture = join(directory, "fixture.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("./ordinary-user.fixture.ts", import.meta.url))],
    outfile: fixture,
    bundle: true,
    platform: "node",
    format: "esm",
    conditions: ["source"],
    banner: { js: REQUIRE },
    logLevel: "silent",
  });
  const stdio = [
    "ignore",
    "pipe",
    "pipe",
    ...Array<"ignore">(INHERITED - 3).fill("ignore"),
    root.fd,
  ];
  const child = spawn(node, [fixture, directory], {
    stdio: stdio as Array<"ignore" | "pipe" | number>,
    uid: NOBODY,
    gid: NOBODY,
    env: { PATH: process.env["PATH"] },
  });
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error("the fixture has no output");
  const [answer, complaints] = await Promise.all([text(stdout), text(stderr)]);
  if (answer === "") throw new Error(complaints);
  return JSON.parse(answer) as Seen;
}

test.skipIf(!mustHave(isRoot, "root, to become an ordinary user; all other tests run as one here"))(
  "works in an unprivileged account",
  async () => {
    const seen = await runAsNobody();
    expect(seen.log).toContain("uid 1000");
    expect(seen.log).toContain("node runs");
    expect(seen).toMatchObject({ state: "running", destroyed: true });
    expect(seen).toMatchObject({ kept: "kept\n", volumeDestroyed: true });
    expect(seen.usage.cpuSeconds).toBeGreaterThan(0);
    expect(seen.usage.memoryBytes).toBeGreaterThan(100_000);
    expect(seen.usage.memoryLimitBytes).toBe(256 * 1024 * 1024);
    expect(seen.usage.pids).toBeGreaterThanOrEqual(1);
    expect(seen.usage.pids).toBeLessThan(50);
    expect(seen.diskBytes).toBeGreaterThan(0);
    expect(seen.limits.memory).toMatch(/^(rlimit|cgroup)/);
    if (seen.limits.memory === "rlimit") {
      expect(seen.limits.cpu).toBeUndefined();
      expect(seen.notes.join()).toContain("control group");
      expect(seen.log).toMatch(/Max processes\s+50\s/);
      // With what Node reserves on top.
      expect(seen.log).toMatch(new RegExp(`Max data size\\s+${(256 + 640) * 1024 * 1024}\\s`));
    }
  },
);

test.skipIf(!mustHave(isRoot, "root, to become an ordinary user"))(
  "a descriptor that the orchestrator was given does not reach the machine",
  async () => {
    const { log } = await runAsNobody();
    const [, numbers = "", ...targets] = log.split("\n");
    // The number is still there, but leads to the log, which the machine has anyway.
    expect(numbers.split(" ")).toContain(String(INHERITED));
    expect(targets).not.toContain("/");
  },
);
