import { harmless, harmlessJson } from "./harmless.ts";
import { table } from "./table.ts";

/** `--json` or not: what every command that answers something takes. */
export interface OutputFlags {
  json?: boolean | undefined;
}

const write = (text: string): void => void process.stdout.write(text);

/** The same facts as one JSON value, or as text for people. */
export function print(flags: OutputFlags, value: unknown, text: string | (() => string)): void {
  if (flags.json === true) return write(`${harmlessJson(JSON.stringify(value, undefined, 2))}\n`);
  const human = harmless(typeof text === "string" ? text : text());
  write(human === "" || human.endsWith("\n") ? human : `${human}\n`);
}

/** A list: a JSON array, or a table, or a sentence that there is nothing. */
export function printList<Item>(
  flags: OutputFlags,
  items: readonly Item[],
  columns: {
    headings: readonly string[];
    row: (item: Item) => readonly (string | undefined)[];
    empty: string;
  },
): void {
  print(flags, items, () => {
    if (items.length > 0) return table(columns.headings, items.map(columns.row));
    // To a program that reads the table, none is none.
    return process.stdout.isTTY ? columns.empty : "";
  });
}

/** One value of a stream, on a line of its own. */
export const printLine = (value: unknown): void =>
  write(`${harmlessJson(JSON.stringify(value))}\n`);
