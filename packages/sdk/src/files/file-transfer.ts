/** Whole files over HTTP: any size, in constant memory. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { withDeadline } from "../deadline.ts";
import type { HttpAnswer, HttpBody } from "../platform/platform.ts";
import type { Session } from "../session.ts";

/** Bytes `start` up to and including `end`, counted from 0; without `end` up to the file's end. */
export interface ByteRange {
  start: number;
  end?: number | undefined;
}

const filesPath = (session: Session): string => `/api/v1/sandboxes/${session.id}/files`;

function timeLimit(api: ApiClient, options: RequestOptions): number {
  return options.requestTimeoutMs ?? api.configuration.requestTimeoutMs;
}

/**
 * Asks for a file and waits for the answer's head. The body has no time limit: how long it takes is
 * its reader's affair; the signal ends it.
 */
export async function download(
  session: Session,
  path: string,
  options: RequestOptions & { range?: ByteRange | undefined },
): Promise<HttpAnswer> {
  const { range, signal } = options;
  const headers: Record<string, string> =
    range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ""}` };
  const body = new AbortController();
  const end = (): void => body.abort(signal?.reason);
  signal?.addEventListener("abort", end, { once: true });
  const deadline = {
    what: `download of ${path}`,
    signal,
    timeoutMs: timeLimit(session.api, options),
  };
  return withDeadline(deadline, (until) => {
    until.addEventListener("abort", () => body.abort(until.reason), { once: true });
    const request = { query: { path }, headers, signal: body.signal };
    return session.api.send("GET", filesPath(session), request);
  });
}

/** Sends a file. Only its own `requestTimeoutMs` bounds it: large files take their time. */
export async function upload(
  session: Session,
  path: string,
  content: HttpBody,
  options: RequestOptions & { mode?: number | undefined; user?: string | undefined },
): Promise<void> {
  const { mode, user, signal, requestTimeoutMs = 0 } = options;
  const query = { path, mode: mode?.toString(8).padStart(3, "0"), user };
  const headers = { "content-type": "application/octet-stream" };
  const deadline = { what: `upload of ${path}`, signal, timeoutMs: requestTimeoutMs };
  await withDeadline(deadline, async (until) => {
    const request = { query, headers, body: content, signal: until };
    const answer = await session.api.send("PUT", filesPath(session), request);
    await answer.bytes();
  });
}

/** Writes a file of the sandbox to a local one. Only its own `requestTimeoutMs` bounds it. */
export async function downloadTo(
  session: Session,
  path: string,
  localPath: string,
  options: RequestOptions,
): Promise<void> {
  const { signal, requestTimeoutMs = 0 } = options;
  const deadline = { what: `download of ${path}`, signal, timeoutMs: requestTimeoutMs };
  await withDeadline(deadline, (until) =>
    session.api.send("GET", filesPath(session), {
      query: { path },
      saveTo: localPath,
      signal: until,
    }),
  );
}
