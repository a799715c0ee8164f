import { stripVTControlCharacters } from "node:util";
import { harmlessLine } from "./harmless.ts";
import { style } from "./style.ts";

const GAP = "  ";

const SEGMENTS = new Intl.Segmenter();
const widthOf = (text: string): number =>
  Iterator.from(SEGMENTS.segment(stripVTControlCharacters(text))).reduce((count) => count + 1, 0);

/** Columns under headings, as wide as they need; no lines to draw, so that `awk` and `cut` work too. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
): string {
  const cells = rows.map((row) => headings.map((_, column) => harmlessLine(row[column] ?? "")));
  const widths = headings.map((heading, column) =>
    Math.max(widthOf(heading), ...cells.map((row) => widthOf(row[column] ?? ""))),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((text, column) => text + " ".repeat((widths[column] ?? 0) - widthOf(text)))
      .join(GAP)
      .trimEnd();
  return [style("bold", line(headings)), ...cells.map(line)].map((text) => `${text}\n`).join("");
}
