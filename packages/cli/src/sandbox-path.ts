import { posix } from "node:path";

/** `box:/path` is a path in a sandbox; everything else is a path of this machine. */
export interface SandboxPath {
  sandbox: string;
  path: string;
}

/** `./a:b` and `/a:b` are local, as they are to `scp` and `docker cp`. */
export function sandboxPathOf(text: string): SandboxPath | undefined {
  const [, sandbox, path] = /^([^/.:][^/:]*):([\s\S]*)$/.exec(text) ?? [];
  if (sandbox === undefined) return undefined;
  return { sandbox, path: path || "." };
}

/**
 * What a copy of a path is called here, by what was typed alone: a sandbox that chose the name would
 * choose `..` or `.ssh`. `undefined` for a path without one, such as `/`, `.` or `..`.
 */
export function copyName(path: string): string | undefined {
  const name = posix.basename(path);
  return ["", ".", ".."].includes(name) ? undefined : name;
}
