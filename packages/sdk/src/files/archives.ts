/** Folders of a sandbox as one stream: out as zip or tar, in as tar. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import type { HttpBody } from "../platform/platform.ts";
import { sandboxPath } from "../sandbox-api.ts";
import { saveBytes, sendBytes } from "../wire/byte-transfer.ts";

export interface ArchiveOptions extends RequestOptions {
  /** "tar" by default. */
  format?: "tar" | "zip" | undefined;
}

export interface UnpackOptions extends RequestOptions {
  /** Who owns what is unpacked. */
  user?: string | undefined;
}

const archivePath = (id: string): string => sandboxPath(id, "/archive");

/** The archive as it is made; its memory is the reader's. */
export async function openArchive(
  api: ApiClient,
  id: string,
  folderPath: string,
  { format = "tar", signal, requestTimeoutMs }: ArchiveOptions,
): Promise<ReadableStream<Uint8Array>> {
  const query = { path: folderPath, format };
  const answer = await api.open("GET", archivePath(id), { query, signal, requestTimeoutMs });
  return answer.stream();
}

/** Into a local file, which is replaced. Only its own `requestTimeoutMs` bounds it. */
export async function saveArchive(
  api: ApiClient,
  id: string,
  from: { folderPath: string; localPath: string },
  { format = "tar", signal, requestTimeoutMs }: ArchiveOptions,
): Promise<void> {
  const query = { path: from.folderPath, format };
  await saveBytes(api, archivePath(id), from.localPath, { query, signal, requestTimeoutMs });
}

/** Unpacks a tar below a directory of the sandbox, which is made where it is missing. */
export async function unpackArchive(
  api: ApiClient,
  id: string,
  to: { directory: string; content: HttpBody },
  { user, signal, requestTimeoutMs }: UnpackOptions,
): Promise<void> {
  const query = { path: to.directory, format: "tar", user };
  await sendBytes(api, archivePath(id), to.content, { query, signal, requestTimeoutMs });
}
