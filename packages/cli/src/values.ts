/** Texts of the command line as the values they stand for. */
import { UsageError } from "./usage-error.ts";

/** `NAME=value`, repeatable; `NAME` alone takes the value from this shell, as Docker's `-e` does. */
export function collectVariable(
  text: string,
  variables: Record<string, string> = {},
): Record<string, string> {
  const [, name = "", value] = /^([^=]+)(?:=([\s\S]*))?$/.exec(text) ?? [];
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new UsageError(`'${text}' is no variable.`, "Write NAME=value.");
  const found = value ?? process.env[name];
  if (found === undefined)
    throw new UsageError(`${name} has no value in this shell.`, `Write ${name}=value.`);
  return { ...variables, [name]: found };
}

export function collectPair(
  text: string,
  pairs: Record<string, string> = {},
): Record<string, string> {
  const [, name, value] = /^([^=]+)=([\s\S]*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined)
    throw new UsageError(`'${text}' is no pair.`, "Write name=value.");
  return { ...pairs, [name]: value };
}

export const collect = <Item>(item: Item, items: readonly Item[] = []): Item[] => [...items, item];

export function numberOf(text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number)) return number;
  throw new UsageError(`'${text}' is no number.`);
}

const UNITS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** `90`, `90s`, `15m`, `2h`, `1d`: seconds. */
export function secondsOf(text: string): number {
  const [, amount, unit = ""] = /^(\d+)([smhd]?)$/.exec(text.trim()) ?? [];
  if (amount === undefined)
    throw new UsageError(`'${text}' is no length of time.`, "Write 90s, 15m, 2h or 1d.");
  return Number(amount) * (UNITS[unit] ?? 1);
}

export interface PortText {
  internal: number;
  external?: number;
  protocol?: "http" | "tcp";
}

/** `8080`, `9000:8080` (external first, as Docker has it), `9000:5432/tcp`. */
export function portOf(text: string): PortText {
  const [, external, internal, protocol] =
    /^(?:(\d{1,5}):)?(\d{1,5})(?:\/(http|tcp))?$/.exec(text.trim()) ?? [];
  if (internal === undefined)
    throw new UsageError(`'${text}' is no port.`, "Write 8080, 9000:8080 or 9000:5432/tcp.");
  // 0 of the host is any that is free.
  if (Number(internal) === 0 || Number(internal) > 65_535 || Number(external ?? 0) > 65_535)
    throw new UsageError(`'${text}' is no port.`, "Ports are from 1 to 65535.");
  return {
    internal: Number(internal),
    ...(external === undefined ? {} : { external: Number(external) }),
    ...(protocol === undefined ? {} : { protocol: protocol as "http" | "tcp" }),
  };
}

/** A command after `--` is the same command. */
export const commandWords = (words: readonly string[]): string[] =>
  words[0] === "--" ? words.slice(1) : [...words];
