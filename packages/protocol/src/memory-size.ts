import { z } from "zod";
import { parseMemory } from "./byte-size.ts";

/** A text such as `512m` whose size lies between two others. */
export const sizeText = (least: string, most: string) =>
  z.string().refine((text) => {
    const bytes = parseMemory(text);
    return (
      bytes !== undefined && bytes >= (parseMemory(least) ?? 0) && bytes <= (parseMemory(most) ?? 0)
    );
  }, `must be a size from ${least} to ${most} such as 512m or 2g`);
