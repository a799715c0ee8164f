/** What Prometheus reads: families of series, and the text that they are written as. */

export type Labels = Readonly<Record<string, string>>;

export interface Series {
  labels: Labels;
  value: number;
  /** Of the name: histograms have several kinds of series. */
  suffix?: "_bucket" | "_sum" | "_count";
}

export interface Family {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  series: readonly Series[];
}

/** One value for each set of labels that was ever counted: its labels must be few. */
export class Counter {
  readonly #values = new Map<string, Series>();
  readonly #name: string;
  readonly #help: string;

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  add(labels: Labels, by = 1): void {
    const key = JSON.stringify(labels);
    const series = this.#values.get(key) ?? { labels, value: 0 };
    series.value += by;
    this.#values.set(key, series);
  }

  get family(): Family {
    return family("counter", this.#name, this.#help, [...this.#values.values()]);
  }
}

interface Distribution {
  labels: Labels;
  /** Of each bound, how many were not above it. */
  counts: number[];
  sum: number;
  count: number;
}

/** How many values were not above each of some bounds. */
export class Histogram {
  readonly #values = new Map<string, Distribution>();
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
  }

  observe(labels: Labels, value: number): void {
    const key = JSON.stringify(labels);
    const found = this.#values.get(key) ?? {
      labels,
      counts: this.#bounds.map(() => 0),
      sum: 0,
      count: 0,
    };
    for (const [index, bound] of this.#bounds.entries())
      if (value <= bound) found.counts[index] = (found.counts[index] ?? 0) + 1;
    found.sum += value;
    found.count += 1;
    this.#values.set(key, found);
  }

  get family(): Family {
    const series = [...this.#values.values()].flatMap(({ labels, counts, sum, count }) => [
      ...counts.map((value, index) => ({
        suffix: "_bucket" as const,
        labels: { ...labels, le: String(this.#bounds[index]) },
        value,
      })),
      { suffix: "_bucket" as const, labels: { ...labels, le: "+Inf" }, value: count },
      { suffix: "_sum" as const, labels, value: sum },
      { suffix: "_count" as const, labels, value: count },
    ]);
    return family("histogram", this.#name, this.#help, series);
  }
}

export const family = (
  type: Family["type"],
  name: string,
  help: string,
  series: readonly Series[],
): Family => ({ type, name, help, series });

/** A gauge with one value and no labels. */
export const gauge = (name: string, help: string, value: number): Family =>
  family("gauge", name, help, [{ labels: {}, value }]);

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The text format, version 0.0.4. A family without series is left out. */
export function exposition(families: readonly Family[]): string {
  return families
    .filter(({ series }) => series.length > 0)
    .map(({ name, help, type, series }) =>
      [
        `# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
        `# TYPE ${name} ${type}`,
        ...series.map((each) => line(name, each)),
        "",
      ].join("\n"),
    )
    .join("");
}

function line(name: string, { labels, value, suffix }: Series): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escape(text)}"`);
  const shown = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
  return `${name}${suffix ?? ""}${shown} ${numberText(value)}`;
}

const escape = (text: string): string =>
  text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}
