const UNITS = ["", "k", "m", "g", "t"];

/** Bytes as callers write them, such as `512m`: in the largest unit that loses nothing. */
export function sizeText(bytes: number): string {
  const power = UNITS.findLastIndex((_, index) => bytes > 0 && bytes % 1024 ** index === 0);
  return `${bytes / 1024 ** Math.max(power, 0)}${UNITS[power] ?? ""}`;
}
