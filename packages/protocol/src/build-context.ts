/** The files that an image is built from, inside a request. */
import { z } from "zod";
import { jsonBytes } from "./environment.ts";
import { LIMITS } from "./limits.ts";

const DOCKERFILE = "Dockerfile";

const path = z
  .string()
  .max(1024)
  .refine(
    (text) =>
      /^[^/\0][^\0]*$/.test(text) &&
      text.split("/").every((part) => !["", ".", ".."].includes(part)),
    "must be a relative path without '.' and '..'",
  );

/** Path to content: text, or bytes as `{ "base64": "..." }`. */
export const buildContext = z
  .record(
    path,
    z.union(
      [z.string(), z.strictObject({ base64: z.base64() })],
      'must be text, or bytes as { "base64": "..." }',
    ),
  )
  .refine((files) => Object.hasOwn(files, DOCKERFILE), `must have a file named ${DOCKERFILE}`)
  .refine(
    (files) => Object.keys(files).length <= LIMITS.buildContextFiles.value,
    `must be at most ${LIMITS.buildContextFiles.value} files`,
  )
  .refine(
    (files) => jsonBytes(files) <= LIMITS.buildContextBytes.value,
    `must be at most ${LIMITS.buildContextBytes.value} bytes in all`,
  );
export type BuildContext = z.infer<typeof buildContext>;
