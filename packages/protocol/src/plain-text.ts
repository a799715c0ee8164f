import { z } from "zod";

/** Text that every database stores and every program takes as an argument. */
export const plainText = z
  .string()
  .refine(
    (text) => text.isWellFormed() && !text.includes("\0"),
    "must be without NUL and halves of surrogate pairs",
  );
