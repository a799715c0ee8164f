/**
 * Runs the tests after `prepare.mjs` installed what they need: sees to a Docker daemon and the base
 * image when a project with machines is asked for, starts a PostgreSQL for the run, runs vitest, and
 * ends with one line that counts.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DockerDaemon } from "./docker-daemon.ts";
import { say } from "./machine/speech.mjs";
import { countTests } from "./test-count.ts";

const PROJECTS = ["unit", "style", "integration", "e2e", "security", "chaos"] as const;
const WITHOUT_MACHINES: readonly string[] = ["unit", "style"];

const root = dirname(import.meta.dirname);
const cache = join(root, ".cache");
const resultsPath = join(cache, "test-results.json");

const isProject = (argument: string): boolean => PROJECTS.some((name) => name === argument);
const args = process.argv.slice(2);
const projects = args.filter(isProject);
const needsMachines =
  args.some((argument) => !argument.startsWith("-") && !WITHOUT_MACHINES.includes(argument)) ||
  args.length === 0;

mkdirSync(cache, { recursive: true });
rmSync(resultsPath, { force: true });

await using daemon = new DockerDaemon({ logPath: join(cache, "dockerd.log") });
if (needsMachines) {
  await daemon.ensure();
  // Its tests then fail one by one and say so; the others still count.
  const { prepareBaseImage } = await import("./base-image.ts");
  await prepareBaseImage().catch((error: unknown) => say(`note: no base image: ${String(error)}`));
}

const postgres = needsMachines ? await startPostgresOfRun() : undefined;
const vitest = spawnSync(
  process.execPath,
  [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${resultsPath}`,
    ...projects.flatMap((name) => ["--project", name]),
    ...args.filter((argument) => !isProject(argument)),
  ],
  {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...process.env,
      ...(postgres && { INSIEN_TEST_DATABASE: "postgresql", TEST_DATABASE_URL: postgres.url }),
      PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
    },
  },
);

const count = countTests(resultsPath, vitest.status === 0);
await postgres?.[Symbol.asyncDispose]();
await daemon[Symbol.asyncDispose]();
process.stdout.write(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped\n`);
process.exitCode = count.failed === 0 && vitest.status === 0 ? 0 : 1;

/** One PostgreSQL for all servers of the run, each with a database of its own on it; gone at the end. */
async function startPostgresOfRun(): Promise<({ url: string } & AsyncDisposable) | undefined> {
  const given = process.env["TEST_DATABASE_URL"];
  if (given !== undefined) return { url: given, [Symbol.asyncDispose]: () => Promise.resolve() };
  const { findPostgres, startPostgres } = await import("@insien/test-kit");
  const binaries = await findPostgres();
  if (binaries !== undefined) return startPostgres(binaries);
  say("note: no PostgreSQL, so servers are tested on the embedded database");
  return undefined;
}
