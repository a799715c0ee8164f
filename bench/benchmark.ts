/** What a row of the table is: a number of ours beside its baseline, measured in the same run. */
import type { Host } from "./host.ts";

export interface Row {
  /** What was measured, and beside what. */
  what: string;
  unit: "ms" | "MiB" | "cores" | "things";
  /** Ours, the median unless `what` says otherwise. */
  value: number;
  baseline?: { what: string; value: number };
  mustReach: string;
  reached: boolean;
  samples: number;
  /** What the table has no room for: percentiles, spread, what bounds it. */
  details?: Readonly<Record<string, number | string>>;
}

export interface BenchmarkContext {
  host: Host;
  /** Samples of each side. */
  runs: number;
}

export interface Benchmark {
  /** For `--only`. */
  name: string;
  /** Programs that must be on this machine. */
  needs: readonly ("docker" | "bwrap")[];
  measure(context: BenchmarkContext): Promise<Row[]>;
}

/** A row that says how many times its baseline it takes. */
export function ratioRow(
  what: string,
  ours: readonly number[],
  baseline: { what: string; samples: readonly number[] },
  bound: { ratioMax: number; text: string },
): Row {
  const value = median(ours);
  const base = median(baseline.samples);
  return {
    what,
    unit: "ms",
    value,
    baseline: { what: baseline.what, value: base },
    mustReach: bound.text,
    reached: value <= base * bound.ratioMax,
    samples: ours.length,
    details: {
      ratio: round(value / base),
      p95: round(percentile(ours, 95)),
      min: round(Math.min(...ours)),
      baselineP95: round(percentile(baseline.samples, 95)),
    },
  };
}

export const round = (value: number): number => Math.round(value * 1000) / 1000;

export const median = (samples: readonly number[]): number => percentile(samples, 50);

/** Nearest rank; 50 of an even count is the lower of the two in the middle. */
export function percentile(samples: readonly number[], rank: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const index = Math.max(0, Math.ceil((rank / 100) * sorted.length) - 1);
  const value = sorted[index];
  if (value === undefined) throw new Error("there are no samples");
  return value;
}

/** Milliseconds that `action` takes. */
export async function timed(action: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await action();
  return performance.now() - begin;
}

/**
 * Samples of several sides in turn (A B A B …), so that what disturbs the machine disturbs all. One
 * round that is not counted comes first.
 */
export async function interleaved<Side extends string>(
  runs: number,
  sides: Readonly<Record<Side, () => Promise<number>>>,
): Promise<Readonly<Record<Side, readonly number[]>>> {
  const names = Object.keys(sides) as Side[];
  const samples = new Map<Side, number[]>(names.map((name) => [name, []]));
  for (let run = -1; run < runs; run += 1) {
    for (const name of names) {
      const sample = await sides[name]();
      if (run >= 0) samples.get(name)?.push(sample);
    }
  }
  return Object.fromEntries(samples) as Record<Side, number[]>;
}
