/** Where volumes are in a sandbox, and paths inside them. Pure. */
import { posix } from "node:path";
import { InsienError, LIMITS } from "@insien/protocol";

/** One spelling of each path, so that equal ones are the same text. */
export const mountPathOf = (path: string): string =>
  posix.normalize(path).replace(/^\/+/, "/").replace(/\/$/, "");

/** Of `taken`, the path that is the same as `path`, above it or below it. */
export function pathInTheWay(path: string, taken: readonly string[]): string | undefined {
  return taken.find((other) => isWithin(path, other) || isWithin(other, path));
}

const isWithin = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(`${directory}/`);

/**
 * The path in the sandbox of a path in a volume, whose root is `/`. Throws `invalid_path` for one
 * that leads out of the volume.
 */
export function pathInVolume(mountPath: string, path: string): string {
  const inside = posix.normalize(path.replace(/^\/+/, "") || ".");
  if (inside === ".." || inside.startsWith("../") || path.includes("\0"))
    throw new InsienError("invalid_path", `${path.slice(0, 80)} leads out of the volume`);
  const full = posix.join(mountPath, inside);
  if (Buffer.byteLength(full) > LIMITS.pathBytes.value)
    throw new InsienError(
      "invalid_path",
      `A path may have at most ${LIMITS.pathBytes.value} bytes`,
    );
  return full;
}
