/** Colours where a person looks, none where a program reads. */
import { styleText } from "node:util";

type Format = Parameters<typeof styleText>[0];

/** Honours NO_COLOR and FORCE_COLOR, and a stream that is no terminal. */
export const style = (
  format: Format,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string => styleText(format, text, { stream });

const STATE_COLOURS: Readonly<Record<string, Format>> = {
  running: "green",
  ok: "green",
  delivered: "green",
  creating: "yellow",
  waiting: "yellow",
  warning: "yellow",
  pending: "yellow",
  stopping: "yellow",
  destroying: "yellow",
  failed: "red",
};

/** A state in the colour that people expect of it. */
export const stateText = (state: string): string => style(STATE_COLOURS[state] ?? "gray", state);
