import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { plainText } from "./plain-text.ts";

export const jsonBytes = (value: unknown): number =>
  new TextEncoder().encode(JSON.stringify(value)).byteLength;

/** Environment variables, as requests carry them. */
export const environment = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be a variable name"), plainText)
  .refine(
    (env) => jsonBytes(env) <= LIMITS.environmentBytes.value,
    `must be at most ${LIMITS.environmentBytes.value} bytes in all`,
  );
