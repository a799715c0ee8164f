import { InsienError } from "@insien/protocol";

export interface ByteRange {
  /** First byte, from 0. */
  start: number;
  /** Number of bytes. */
  length: number;
}

/**
 * The one range of a `Range` header (RFC 9110 §14). `undefined`: no header, or a form that servers
 * ignore, which is several ranges or another unit. Throws `range_not_satisfiable`.
 */
export function parseRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (match === null || match[0] === "bytes=-") return undefined;
  const [, first = "", last = ""] = match;
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  if (first !== "" && last !== "" && Number(last) < start) return undefined;
  if (start >= size || (first === "" && Number(last) === 0)) {
    throw new InsienError("range_not_satisfiable", `the file has ${size} bytes, not ${header}`, {
      details: { size },
    });
  }
  return { start, length: end - start + 1 };
}
