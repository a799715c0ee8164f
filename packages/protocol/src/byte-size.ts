/** Sizes as texts such as `512m`, without any schema: the SDK takes this file alone. */
const SIZE = /^(\d+)([kmgt])?b?$/i;
const UNITS: Record<string, number> = {
  "": 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** `512m`, `1g`, `268435456`: bytes, or `undefined` when it is no such text. */
export function parseMemory(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  return Number(match[1]) * (UNITS[(match[2] ?? "").toLowerCase()] ?? 1);
}
