import type { IncomingMessage } from "node:http";

const BEARER = /^\s*Bearer\s+(\S+)\s*$/i;
const KEY_PARAMETER = "api_key";

/** Whether a text is a key or a token that holds at this server's own doors. */
export type IsOurs = (text: string) => Promise<boolean>;

export interface ProgramsPart {
  /** Path and query without our keys. */
  target: string;
  /** Names of headers that hold one. */
  dropped: ReadonlySet<string>;
}

/** What of a request a program may see: not what lets its visitor in here, whatever the visitor meant. */
export async function programsPart(
  { headersDistinct }: IncomingMessage,
  target: string,
  isOurs: IsOurs,
): Promise<ProgramsPart> {
  const dropped = new Set<string>();
  for (const value of headersDistinct.authorization ?? []) {
    const token = BEARER.exec(value)?.[1];
    if (token !== undefined && (await isOurs(token))) dropped.add("authorization");
  }
  for (const value of headersDistinct.referer ?? [])
    if ((await withoutKeys(value, isOurs)) !== value) dropped.add("referer");
  return { target: await withoutKeys(target, isOurs), dropped };
}

/** An address without our keys in its query, the rest as it was written. */
async function withoutKeys(address: string, isOurs: IsOurs): Promise<string> {
  const start = address.indexOf("?");
  if (start < 0) return address;
  const parts = address.slice(start + 1).split("&");
  const kept: string[] = [];
  for (const part of parts) {
    const [[name, value = ""] = ["", ""]] = new URLSearchParams(part);
    if (name !== KEY_PARAMETER || value === "" || !(await isOurs(value))) kept.push(part);
  }
  if (kept.length === parts.length) return address;
  return kept.length === 0
    ? address.slice(0, start)
    : `${address.slice(0, start)}?${kept.join("&")}`;
}
