import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { variableNames } from "../../packages/orchestrator/src/config/variables.ts";
import { generatedDocuments } from "../../scripts/generated-documents.ts";
import { lineOf, repositoryFiles, ROOT, type TextFile, type Violation } from "./repository.ts";

const LINK = /(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)/g;
const HEADING = /^#+ (.+)$/gm;

const documents = repositoryFiles().filter(({ path }) => path.endsWith(".md"));

/** The anchor that a heading gets where Markdown is shown. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");

function linkViolations(
  files: readonly TextFile[],
  exists: (path: string) => boolean,
): Violation[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  return files.flatMap(({ path, text }) =>
    [...text.matchAll(LINK)].flatMap(({ 1: target = "", index }) => {
      if (/^[a-z]+:/.test(target)) return [];
      const [file = "", anchor] = target.split("#");
      const resolved = file === "" ? path : join(dirname(path), file);
      const where = `${path}:${lineOf(text, index)}`;
      if (!exists(resolved)) return [`${where}: ${target} leads nowhere`];
      const headings = [...(texts.get(resolved) ?? "").matchAll(HEADING)];
      const known = headings.some(({ 1: heading = "" }) => anchorOf(heading) === anchor);
      return anchor === undefined || known ? [] : [`${where}: ${target} has no such heading`];
    }),
  );
}

/** Rows of docs/coverage.md whose last cell is neither "not yet" nor names files that exist. */
function coverageViolations(text: string, exists: (path: string) => boolean): Violation[] {
  const rows = [...text.matchAll(/^\|(.+)\|$/gm)].map(({ 1: row = "" }) => row.split("|"));
  return rows.flatMap((cells) => {
    const last = (cells.at(-1) ?? "").trim();
    const feature = (cells[0] ?? "").trim();
    if (/^-+$/.test(last) || last === "proof" || last.startsWith("not yet")) return [];
    const paths = [...last.matchAll(/`([^`]+)`/g)].map(({ 1: path = "" }) => path);
    if (paths.length === 0) return [`${feature}: no test named, and not said to be missing`];
    return paths.filter((path) => !exists(path)).map((path) => `${feature}: ${path} is not there`);
  });
}

const inRepository = (path: string): boolean => existsSync(join(ROOT, path));

describe("documents", () => {
  test("links lead somewhere", () => {
    expect(linkViolations(documents, inRepository)).toEqual([]);
  });

  test.each(Object.entries(generatedDocuments()))(
    "%s is what `npm run docs` writes",
    (path, text) => {
      expect(documents.find((file) => file.path === path)?.text).toBe(text);
    },
  );

  test("every feature of docs/coverage.md names tests that exist, or says not yet", () => {
    const coverage = documents.find(({ path }) => path === "docs/coverage.md")?.text ?? "";
    expect(coverage.match(/^\|/gm)?.length ?? 0).toBeGreaterThan(100);
    expect(coverageViolations(coverage, inRepository)).toEqual([]);
  });

  test("every variable of the configuration is explained, and no other", () => {
    const table = documents.find(({ path }) => path === "docs/using.md")?.text ?? "";
    const inTable = [...table.matchAll(/^\| `([A-Z_]+)` \|/gm)].map(({ 1: name }) => name);
    expect(new Set(inTable)).toEqual(new Set(variableNames));
  });

  test("decisions are numbered without gaps", () => {
    const numbers = documents
      .flatMap(({ path }) => /^docs\/decisions\/(\d{4})-[a-z0-9-]+\.md$/.exec(path)?.[1] ?? [])
      .map(Number)
      .sort((a, b) => a - b);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(numbers.length).toBeGreaterThan(0);
  });
});

describe("the document checks themselves", () => {
  const exists = (path: string): boolean => path === "a.md" || path === "tests/a.test.ts";

  test("see a dead link and a dead anchor", () => {
    const file = {
      path: "a.md",
      text: "# One two\n[x](#one-two) [y](b.md) [z](#three) [w](https://a)",
    };
    expect(linkViolations([file], exists)).toEqual([
      "a.md:2: b.md leads nowhere",
      "a.md:2: #three has no such heading",
    ]);
  });

  test("see a feature without proof, and proof that is gone", () => {
    const rows = [
      "| feature | proof |",
      "|---|---|",
      "| a | `tests/a.test.ts` |",
      "| b | not yet |",
      "| c | |",
      "| d | `tests/gone.test.ts` |",
    ];
    expect(coverageViolations(rows.join("\n"), exists)).toEqual([
      "c: no test named, and not said to be missing",
      "d: tests/gone.test.ts is not there",
    ]);
  });
});
