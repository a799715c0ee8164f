import { z } from "zod";

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

/** A text such as `512m` whose size lies between two others. */
export const sizeText = (least: string, most: string) =>
  z.string().refine((text) => {
    const bytes = parseMemory(text);
    return (
      bytes !== undefined && bytes >= (parseMemory(least) ?? 0) && bytes <= (parseMemory(most) ?? 0)
    );
  }, `must be a size from ${least} to ${most} such as 512m or 2g`);
