/**
 * `npm run bench`: every promised number beside its baseline, measured in the same run.
 *
 *     npm run bench -- --only command --only stdout   some rows
 *     npm run bench -- --runs 5                       fewer samples (20 by default)
 *     npm run bench -- --json                         the report as JSON on stdout
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { prepareBaseImage } from "../scripts/base-image.ts";
import { dockerAnswers } from "../scripts/machine/docker-daemon.mjs";
import { findProgram } from "../scripts/machine/apt.mjs";
import type { Benchmark } from "./benchmark.ts";
import { Host } from "./host.ts";
import { loadAverage, newReport, save, tableOf } from "./report.ts";
import { burstDocker } from "./rows/burst.ts";
import { churnDocker } from "./rows/churn.ts";
import { commandRoundTrip } from "./rows/command.ts";
import { createColdDocker, createWarmBubblewrap, createWarmDocker } from "./rows/create.ts";
import { zipExport } from "./rows/export.ts";
import { fleetDocker } from "./rows/fleet.ts";
import { idleOrchestrator, idleSandbox } from "./rows/idle.ts";
import { previewRequest } from "./rows/preview.ts";
import { fileThroughput, stdoutThroughput } from "./rows/throughput.ts";

const BENCHMARKS: readonly Benchmark[] = [
  createWarmDocker,
  createColdDocker,
  createWarmBubblewrap,
  burstDocker,
  commandRoundTrip,
  stdoutThroughput,
  fileThroughput,
  previewRequest,
  idleSandbox,
  idleOrchestrator,
  zipExport,
  fleetDocker,
  churnDocker,
];
const RUNS_DEFAULT = 20;
const QUIET_LOAD = cpus().length;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    runs: { type: "string" },
    json: { type: "boolean" },
  },
});

const runs = Number(values.runs ?? RUNS_DEFAULT);
if (!Number.isInteger(runs) || runs < 1) throw new Error("--runs takes a number from 1");
const unknown = values.only?.filter((name) => BENCHMARKS.every((one) => one.name !== name)) ?? [];
if (unknown.length > 0) {
  const names = BENCHMARKS.map(({ name }) => name).join(", ");
  throw new Error(`--only ${unknown.join(", ")}: there is ${names}`);
}

const tell = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
const present = { docker: await dockerAnswers(), bwrap: findProgram("bwrap") !== undefined };

await using host = await Host.open((await prepareBaseImage()) ?? "none");
const report = newReport({ image: host.image, runs });
if (loadAverage() > QUIET_LOAD) {
  tell(`the machine is busy (load average ${loadAverage()}): what this run tells is worth little`);
}

for (const benchmark of BENCHMARKS) {
  if (values.only !== undefined && !values.only.includes(benchmark.name)) continue;
  const missing = benchmark.needs.filter((program) => !present[program]);
  if (missing.length > 0) {
    report.failures[benchmark.name] = `${missing.join(", ")} does not answer here`;
    continue;
  }
  tell(`· ${benchmark.name}`);
  try {
    report.rows.push(...(await benchmark.measure({ host, runs })));
  } catch (error) {
    report.failures[benchmark.name] = error instanceof Error ? error.message : String(error);
  }
  report.loadAverages[benchmark.name] = loadAverage();
}

process.stdout.write(
  values.json === true ? `${JSON.stringify(report)}\n` : `\n${tableOf(report)}\n`,
);
for (const [name, reason] of Object.entries(report.failures))
  tell(`not measured: ${name}: ${reason}`);
tell(`written to ${save(report)}`);
if (Object.keys(report.failures).length > 0) process.exitCode = 1;
