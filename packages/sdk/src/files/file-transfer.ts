/** Whole files over HTTP: any size, in constant memory. */
import type { RequestOptions } from "../configuration.ts";
import type { HttpAnswer, HttpBody } from "../platform/platform.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { Session } from "../session.ts";
import { saveBytes, sendBytes } from "../wire/byte-transfer.ts";

/** Bytes `start` up to and including `end`, counted from 0; without `end` up to the file's end. */
export interface ByteRange {
  start: number;
  end?: number | undefined;
}

const filesPath = (session: Session): string => sandboxPath(session.id, "/files");

/** Asks for a file and waits for the answer's head; the body takes as long as it takes. */
export async function download(
  session: Session,
  path: string,
  options: RequestOptions & { range?: ByteRange | undefined },
): Promise<HttpAnswer> {
  const { range, signal, requestTimeoutMs } = options;
  const headers: Record<string, string> =
    range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ""}` };
  const request = { query: { path }, headers, signal, requestTimeoutMs };
  return session.api.open("GET", filesPath(session), request);
}

/** Sends a file. Only its own `requestTimeoutMs` bounds it: large files take their time. */
export async function upload(
  session: Session,
  path: string,
  content: HttpBody,
  options: RequestOptions & { mode?: number | undefined; user?: string | undefined },
): Promise<void> {
  const { mode, user, signal, requestTimeoutMs } = options;
  const query = { path, mode: mode?.toString(8).padStart(3, "0"), user };
  await sendBytes(session.api, filesPath(session), content, { query, signal, requestTimeoutMs });
}

/** Writes a file of the sandbox to a local one. Only its own `requestTimeoutMs` bounds it. */
export async function downloadTo(
  session: Session,
  path: string,
  localPath: string,
  { signal, requestTimeoutMs }: RequestOptions,
): Promise<void> {
  const options = { query: { path }, signal, requestTimeoutMs };
  await saveBytes(session.api, filesPath(session), localPath, options);
}
