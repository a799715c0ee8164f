import type { CommandLine, MainCommand } from "@insien/protocol";

interface MainSettings {
  entrypoint: CommandLine | undefined;
  command: CommandLine | undefined;
  maxRetries: number;
}

/** What runs as a sandbox's main process; `undefined` when it has neither entrypoint nor command. */
export function mainCommand(settings: MainSettings): MainCommand | undefined {
  const lines = [settings.entrypoint, settings.command].filter((line) => line !== undefined);
  const words = lines.every((line) => Array.isArray(line)) ? lines.flat() : undefined;
  if (lines.length === 0) return undefined;
  const argv = words ?? ["/bin/sh", "-c", lines.map(shellText).join(" ")];
  return { argv, maxRetries: settings.maxRetries };
}

/** As part of a line for a shell: text as it is, the words of a list so that each stays one word. */
const shellText = (line: CommandLine): string =>
  typeof line === "string" ? line : line.map(quoted).join(" ");

/** Nothing but the quote means anything between single quotes; a bare word may be the shell's own. */
const quoted = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
