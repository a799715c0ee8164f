/**
 * A Dockerfile read as Docker reads it, and written again: one instruction per line, so that what was
 * examined here is what the daemon sees. The daemon fetches the sources of ADD itself, from the
 * host's own network, wherever the build's steps may go: addresses are refused. So is what names an
 * image by its id, or copies from one: that may be somebody else's.
 */
import { InsienError } from "@insien/protocol";
import { isImageId, withTag } from "./image-reference.ts";

export interface Instruction {
  keyword: string;
  rest: string;
}

export interface Dockerfile {
  /** The character that joins lines. */
  escape: string;
  instructions: Instruction[];
}

const KEYWORDS = new Set(
  (
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL " +
    "STOPSIGNAL USER VOLUME WORKDIR"
  ).split(" "),
);

const refused = (step: string, message: string): InsienError =>
  new InsienError("build_failed", `${step}: ${message}`, { details: { step, output: message } });

/** Throws `build_failed`, naming the line that is no instruction. */
export function parseDockerfile(text: string): Dockerfile {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const escape = escapeOf(lines);
  const continues = (line: string) => line.trimEnd().endsWith(escape);
  const instructions: Instruction[] = [];
  let joined: string | undefined;
  const finish = () => {
    if (joined !== undefined && joined.trim() !== "") instructions.push(instructionOf(joined));
    joined = undefined;
  };
  for (const line of lines) {
    // Comments and empty lines may stand between the lines of one instruction.
    if (/^\s*(?:#|$)/.test(line)) continue;
    const part = joined === undefined ? line.trimStart() : line;
    const more = continues(part);
    joined = (joined ?? "") + (more ? part.trimEnd().slice(0, -1) : part);
    if (!more) finish();
  }
  finish();
  // The line after it, which is ours, would be taken for its end.
  const open = instructions.find(({ rest }) => continues(rest));
  if (open !== undefined) throw refused(`${open.keyword} ${open.rest}`, "has no end");
  return { escape, instructions };
}

/** Directives stand before everything else. */
function escapeOf(lines: readonly string[]): string {
  for (const line of lines) {
    const [, name = "", value = ""] = /^\s*#\s*([a-zA-Z]\w*)\s*=\s*(.+?)\s*$/.exec(line) ?? [];
    if (name === "") break;
    if (name.toLowerCase() === "escape") return value === "`" ? "`" : "\\";
  }
  return "\\";
}

function instructionOf(line: string): Instruction {
  const [, word = "", rest = ""] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
  const keyword = word.toUpperCase();
  if (KEYWORDS.has(keyword)) return { keyword, rest: rest.trim() };
  throw refused(
    line.slice(0, 200),
    "is no instruction; here-documents need BuildKit and are not known here",
  );
}

export interface BuildPlan {
  /** The Dockerfile as the daemon gets it. */
  text: string;
  /** Images that it starts from, as the daemon will be told. */
  bases: string[];
}

export interface PlanOptions {
  /** References that stand for something else. */
  replacements: ReadonlyMap<string, string>;
  /** A line put after each FROM, so that everything made on the way carries it. */
  label: string;
}

/** Throws `build_failed` for what must not be built. */
export function planBuild({ escape, instructions }: Dockerfile, options: PlanOptions): BuildPlan {
  const lines: string[] = escape === "\\" ? [] : [`# escape=${escape}`];
  const variables = new Map<string, string>();
  const stages = new Set(["scratch"]);
  const finished = new Set<string>();
  let stage: string | undefined;
  const bases = new Set<string>();
  for (const instruction of instructions) {
    const { keyword, rest } = instruction;
    mustBeHarmless(instruction, finished);
    if (keyword === "ARG" && stages.size === 1 && bases.size === 0) {
      const [, name = "", value = ""] = /^(\w+)(?:=(.*))?$/.exec(rest) ?? [];
      variables.set(name, value.replaceAll(/^(["'])(.*)\1$/g, "$2"));
    }
    if (keyword !== "FROM") {
      lines.push(`${keyword} ${rest}`);
      continue;
    }
    const from = fromOf(instruction, variables);
    const isStage = stages.has(from.image.toLowerCase());
    // With a tag, so that the daemon sees no more than a name in it.
    const image = isStage
      ? from.image
      : withTag(options.replacements.get(from.image) ?? from.image);
    if (!isStage) bases.add(image);
    if (stage !== undefined) finished.add(stage);
    stage = from.stage?.toLowerCase();
    if (stage !== undefined) stages.add(stage);
    const named = from.stage === undefined ? "" : ` AS ${from.stage}`;
    lines.push(`FROM ${from.flags}${image}${named}`, options.label);
  }
  return { text: `${lines.join("\n")}\n`, bases: [...bases] };
}

interface From {
  flags: string;
  image: string;
  stage: string | undefined;
}

function fromOf({ keyword, rest }: Instruction, variables: ReadonlyMap<string, string>): From {
  const step = `${keyword} ${rest}`;
  const words = rest.split(/\s+/);
  const flags = words.filter((word) => word.startsWith("--"));
  const [image = "", as, stage] = words.filter((word) => !word.startsWith("--"));
  const known = image.replaceAll(
    /\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})/g,
    (_, plain: string | undefined, braced: string | undefined, otherwise = "") =>
      variables.get(plain ?? braced ?? "") || otherwise,
  );
  if (!/^[\w.:/@-]+$/.test(known) || isImageId(known)) {
    throw refused(step, `"${known}" is no image's name`);
  }
  if (as !== undefined && (as.toUpperCase() !== "AS" || !/^[\w.-]+$/.test(stage ?? ""))) {
    throw refused(step, "is not like FROM image AS name");
  }
  return { flags: flags.map((flag) => `${flag} `).join(""), image: known, stage };
}

/**
 * Throws `build_failed` when the daemon would fetch something for it, or open an image that nobody
 * examined. `finished` are the stages that it may copy from: any other name is an image's.
 */
function mustBeHarmless({ keyword, rest }: Instruction, finished: ReadonlySet<string>): void {
  if (keyword === "ONBUILD") return mustBeHarmless(instructionOf(rest), finished);
  if (keyword !== "ADD" && keyword !== "COPY") return;
  const step = `${keyword} ${rest}`;
  for (const flag of flagsOf(rest)) {
    const [, name, value = ""] = /^--([a-z]+)(?:=([\w.:@/,-]*))?$/.exec(flag) ?? [];
    // Docker takes quotes and escapes out of flags, and parts them at more than is a space here.
    if (name === undefined) throw refused(step, `"${flag}" is no plain option`);
    if (name !== "from" || STAGE_NUMBER.test(value) || finished.has(value.toLowerCase())) continue;
    throw refused(step, `"${value}" is no earlier stage: name its image in a FROM of its own`);
  }
  if (keyword === "ADD") mustBeFiles(step, rest);
}

/** Not longer: what is no number to Docker is an image's name. */
const STAGE_NUMBER = /^\d{1,4}$/;

function flagsOf(rest: string): string[] {
  // Docker trims what is a space to it before it looks for options.
  const words = rest.replace(/^[\s\u0085]+/, "").split(/\s+/);
  const first = words.findIndex((word) => !word.startsWith("--"));
  return words.slice(0, first === -1 ? words.length : first);
}

function mustBeFiles(step: string, rest: string): void {
  for (const source of sourcesOf(rest)) {
    // Quotes, escapes and variables could make an address of what does not look like one.
    if (!source.includes("://") && !source.startsWith("git@") && !/[$"'\\`]/.test(source)) continue;
    const message =
      `ADD takes only plain paths of the build's own files here, and "${source}" is none; ` +
      "fetch it in a RUN step, which the build's network rules hold for";
    throw refused(step, message);
  }
}

function sourcesOf(rest: string): string[] {
  const words = rest.replace(/^(?:--\S+\s+)+/, "");
  try {
    const list: unknown = JSON.parse(words);
    if (Array.isArray(list)) return list.map(String);
  } catch {
    // The other form: words with spaces between.
  }
  return words.split(/\s+/);
}

/** Throws as for an instruction of the Dockerfile's own, for a line of an image's ONBUILD triggers. */
export const mustBeHarmlessTrigger = (line: string): void =>
  mustBeHarmless(instructionOf(line), new Set());
