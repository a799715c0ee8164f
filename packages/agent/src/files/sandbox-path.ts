import { resolve } from "node:path";
import { InsienError, LIMITS } from "@insien/protocol";

/**
 * The absolute path that a caller means: relative ones and `~` start at the sandbox's home. Throws
 * `invalid_path` for empty, over-long or NUL-holding text.
 */
export function resolvePath(path: string, home: string): string {
  if (path === "" || path.includes("\0")) {
    throw new InsienError("invalid_path", "a path is non-empty text without NUL bytes");
  }
  if (Buffer.byteLength(path) > LIMITS.pathBytes.value) {
    throw new InsienError(
      "invalid_path",
      `${path.slice(0, 80)}… is longer than ${LIMITS.pathBytes.value} bytes`,
    );
  }
  if (path === "~" || path.startsWith("~/")) return resolve(home, `.${path.slice(1)}`);
  return resolve(home, path);
}
