import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { plainText } from "./plain-text.ts";

const bytesOf = (text: string): number => new TextEncoder().encode(text).byteLength;

export const jsonBytes = (value: unknown): number => bytesOf(JSON.stringify(value));

/** Linux hands a variable to a program as `NAME=value` and a NUL. */
const isTooLong = (name: string, value: string): boolean =>
  bytesOf(`${name}=${value}`) + 1 > LIMITS.commandLineBytes.value;

/** Environment variables, as requests carry them. */
export const environment = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be a variable name"), plainText)
  .superRefine((env, context) => {
    for (const [name, value] of Object.entries(env)) {
      if (!isTooLong(name, value)) continue;
      const message = `must be less than ${LIMITS.commandLineBytes.value} bytes with its name: Linux starts no program with longer ones`;
      context.addIssue({ code: "custom", path: [name], message });
    }
  })
  .refine(
    (env) => jsonBytes(env) <= LIMITS.environmentBytes.value,
    `must be at most ${LIMITS.environmentBytes.value} bytes in all`,
  );
