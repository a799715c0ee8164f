import { stripVTControlCharacters } from "node:util";
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
  const cells = rows.map((row) => headings.map((_, column) => oneLine(row[column] ?? "")));
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

/** What a sandbox's owner chose to name it must not move the cursor of who lists it. */
const oneLine = (text: string): string =>
  // Colours of our own are the only sequences kept.
  text.replaceAll(/[\x00-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[\d+m)/g, "\u{fffd}");
