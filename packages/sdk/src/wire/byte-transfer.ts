/** Bytes of any size over HTTP, in constant memory; only their own time limit bounds them. */
import type { ApiClient, ApiRequest } from "../api-client.ts";
import { withDeadline } from "../deadline.ts";
import type { HttpBody } from "../platform/platform.ts";

type Options = Pick<ApiRequest, "query" | "signal" | "requestTimeoutMs">;

/** Sends a body with PUT. */
export async function sendBytes(
  api: ApiClient,
  path: string,
  body: HttpBody,
  { query = {}, signal, requestTimeoutMs = 0 }: Options,
): Promise<void> {
  const headers = { "content-type": "application/octet-stream" };
  const deadline = { what: `PUT ${path}`, signal, timeoutMs: requestTimeoutMs };
  await withDeadline(deadline, async (until) => {
    const answer = await api.send("PUT", path, { query, headers, body, signal: until });
    await answer.bytes();
  });
}

/** Writes an answer's body to a local file. */
export async function saveBytes(
  api: ApiClient,
  path: string,
  saveTo: string,
  { query = {}, signal, requestTimeoutMs = 0 }: Options,
): Promise<void> {
  const deadline = { what: `GET ${path}`, signal, timeoutMs: requestTimeoutMs };
  await withDeadline(deadline, (until) => api.send("GET", path, { query, saveTo, signal: until }));
}
