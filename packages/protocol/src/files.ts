/** Directories and archives over REST. What the agent answers (rpc.ts) is the same in camelCase. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";

const path = z.string().min(1).max(LIMITS.pathBytes.value);
const user = z.string().min(1).max(64);

export const fileInfoView = z.object({
  path: z.string(),
  name: z.string(),
  type: z.enum(["file", "directory", "symlink", "other"]),
  size: z.number(),
  /** Permission bits, e.g. 0o644. */
  mode: z.number(),
  uid: z.number(),
  gid: z.number(),
  modified_at: z.string(),
  /** Where a symbolic link points, as written in it. */
  target: z.string().optional(),
});
export type FileInfoView = z.infer<typeof fileInfoView>;

export const directoryQuery = z.strictObject({
  path,
  /** How many levels below the directory; 1 by default. */
  depth: z.coerce.number().int().min(1).max(LIMITS.directoryDepth.value).optional(),
  limit: z.coerce.number().int().min(1).max(LIMITS.directoryEntries.value).optional(),
});
export const directoryList = z.object({
  items: z.array(fileInfoView),
  /** There is more than `limit`. */
  truncated: z.boolean(),
});

export const makeDirectoryQuery = z.strictObject({
  path,
  /** Octal permission bits, e.g. 755. */
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/, "must be octal permission bits, e.g. 755")
    .optional(),
  user: user.optional(),
});
export const madeDirectory = z.object({
  path: z.string(),
  /** `false`: it was there already. */
  created: z.boolean(),
});

export const archiveQuery = z.strictObject({
  path,
  /** `zip` by default. Symbolic links are stored as links in both. */
  format: z.enum(["zip", "tar"]).optional(),
});
/** Where a tar is unpacked; a directory that is missing is made. */
export const unpackQuery = z.strictObject({
  path,
  format: z.literal("tar").optional(),
  /** Who owns what is unpacked. */
  user: user.optional(),
});
