import { mkdirSync, writeFileSync } from "node:fs";
import { arch, cpus, loadavg, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import type { Row } from "./benchmark.ts";
import { MIB } from "./host.ts";

export interface Report {
  at: string;
  machine: { processor: string; cores: number; memoryMiB: number; kernel: string; node: string };
  image: string;
  runs: number;
  /** Of the last minute, before the first benchmark and after each: what else the machine did. */
  loadAverages: Record<string, number>;
  rows: Row[];
  /** Benchmarks that could not be measured, with the reason. */
  failures: Record<string, string>;
}

export const loadAverage = (): number => loadavg()[0] ?? 0;

export function newReport(options: { image: string; runs: number }): Report {
  const [processor] = cpus();
  return {
    at: new Date().toISOString(),
    machine: {
      processor: `${processor?.model ?? "unknown"} (${arch()})`,
      cores: cpus().length,
      memoryMiB: Math.round(totalmem() / MIB),
      kernel: release(),
      node: process.version,
    },
    ...options,
    loadAverages: { before: loadAverage() },
    rows: [],
    failures: {},
  };
}

const number = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

function times(row: Row): string {
  if (row.baseline === undefined) return "";
  const ratio = row.value / row.baseline.value;
  return ratio < 0.5 ? `1/${number(1 / ratio)}` : `${number(ratio)} ×`;
}

export function tableOf({ rows }: Report): string {
  const head = ["what", "ours", "baseline", "", "must reach", "reached"];
  const cells = rows.map((row) => [
    row.what,
    `${number(row.value)} ${row.unit}`,
    row.baseline === undefined
      ? "–"
      : `${row.baseline.what} ${number(row.baseline.value)} ${row.unit}`,
    times(row),
    row.mustReach,
    row.reached ? "yes" : "NO",
  ]);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => line[column]?.length ?? 0)),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(head), line(widths.map((width) => "─".repeat(width))), ...cells.map(line)].join(
    "\n",
  );
}

/** Writes the report under bench/results and gives its path. */
export function save(report: Report): string {
  const directory = join(import.meta.dirname, "results");
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${report.at.replaceAll(":", "-")}.json`);
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`);
  return join("bench/results", path.slice(dirname(path).length + 1));
}
