/**
 * Reads Prometheus' text format, version 0.0.4, by its specification and more strictly than
 * Prometheus itself: throws where a line is none, where a series stands before its family's HELP and
 * TYPE or apart from it, and where a name breaks the conventions.
 */
export interface ParsedSample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface ParsedFamily {
  name: string;
  type: string;
  help: string;
  samples: ParsedSample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/y;

export function parseExposition(text: string): ParsedFamily[] {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families: ParsedFamily[] = [];
  for (const line of text.slice(0, -1).split("\n")) read(line, families);
  const names = families.map(({ name }) => name);
  if (new Set(names).size < names.length) throw new Error("a family comes twice");
  return families;
}

function read(line: string, families: ParsedFamily[]): void {
  const help = HELP.exec(line);
  if (help !== null) {
    families.push({ name: help[1] ?? "", help: help[2] ?? "", type: "", samples: [] });
    return;
  }
  const family = families.at(-1);
  const type = TYPE.exec(line);
  if (type !== null) {
    if (family?.name !== type[1] || family?.type !== "") throw new Error(`no HELP before ${line}`);
    family.type = type[2] ?? "";
    if ((family.type === "counter") !== family.name.endsWith("_total"))
      throw new Error(`${family.name} is a ${family.type}: only counters end in _total`);
    return;
  }
  const sample = SAMPLE.exec(line);
  if (sample === null) throw new Error(`this is no line of the format: ${line}`);
  const [, name = "", labels = "", value = ""] = sample;
  if (family === undefined || !belongs(name, family)) throw new Error(`no family of ${line}`);
  family.samples.push({ name, labels: parseLabels(labels), value: parseValue(value) });
}

const belongs = (name: string, { name: family, type }: ParsedFamily): boolean =>
  type === "histogram"
    ? ["_bucket", "_sum", "_count"].some((suffix) => name === `${family}${suffix}`)
    : type !== "" && name === family;

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const at = LABEL.lastIndex;
    const label = LABEL.exec(text);
    if (label === null) throw new Error(`these are no labels: ${text.slice(at)}`);
    const [, key = "", escaped = ""] = label;
    if (key in labels) throw new Error(`${key} comes twice in ${text}`);
    labels[key] = escaped.replaceAll(/\\([\\"n])/g, (_, sign) => (sign === "n" ? "\n" : sign));
  }
  return labels;
}

function parseValue(text: string): number {
  if (text === "+Inf") return Infinity;
  const value = Number(text);
  if (Number.isNaN(value)) throw new Error(`${text} is no number`);
  return value;
}
