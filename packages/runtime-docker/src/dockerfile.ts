/**
 * A Dockerfile read as Docker reads it, and written again: one instruction per line, so that what was
 * examined here is what the daemon sees. The daemon fetches the sources of ADD itself, from the
 * host's own network, wherever the build's steps may go: addresses are refused.
 */
import { InsienError } from "@insien/protocol";

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
  const bases = new Set<string>();
  for (const instruction of instructions) {
    const { keyword, rest } = instruction;
    mustBeHarmless(instruction);
    if (keyword === "ARG" && stages.size === 1 && bases.size === 0) {
      const [, name = "", value = ""] = /^(\w+)(?:=(.*))?$/.exec(rest) ?? [];
      variables.set(name, value.replaceAll(/^(["'])(.*)\1$/g, "$2"));
    }
    if (keyword !== "FROM") {
      lines.push(`${keyword} ${rest}`);
      continue;
    }
    const from = fromOf(instruction, variables);
    const image = stages.has(from.image.toLowerCase())
      ? from.image
      : (options.replacements.get(from.image) ?? from.image);
    if (!stages.has(image.toLowerCase())) bases.add(image);
    if (from.stage !== undefined) stages.add(from.stage.toLowerCase());
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
  if (!/^[\w.:/@-]+$/.test(known)) throw refused(step, `"${known}" is no image's name`);
  if (as !== undefined && (as.toUpperCase() !== "AS" || !/^[\w.-]+$/.test(stage ?? ""))) {
    throw refused(step, "is not like FROM image AS name");
  }
  return { flags: flags.map((flag) => `${flag} `).join(""), image: known, stage };
}

/** Throws `build_failed` when the daemon would fetch something for it. Also for triggers of images. */
export function mustBeHarmless({ keyword, rest }: Instruction): void {
  if (keyword === "ONBUILD") return mustBeHarmless(instructionOf(rest));
  if (keyword !== "ADD") return;
  for (const source of sourcesOf(rest)) {
    // Quotes, escapes and variables could make an address of what does not look like one.
    if (!source.includes("://") && !source.startsWith("git@") && !/[$"'\\`]/.test(source)) continue;
    const message =
      `ADD takes only plain paths of the build's own files here, and "${source}" is none; ` +
      "fetch it in a RUN step, which the build's network rules hold for";
    throw refused(`${keyword} ${rest}`, message);
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

/** Throws as `mustBeHarmless` for a line of an image's ONBUILD triggers. */
export const mustBeHarmlessTrigger = (line: string): void => mustBeHarmless(instructionOf(line));
