import type { IncomingMessage, ServerResponse } from "node:http";
import type { FileHandle } from "node:fs/promises";
import { InsienError } from "@insien/protocol";
import { parseRange, type ByteRange } from "./byte-range.ts";
import { readWholeFile, type OpenedFile } from "./regular-file.ts";

/** Large enough that the cost of a round through the thread pool does not show. */
const CHUNK_BYTES = 1024 * 1024;

const entityTag = ({ stats }: OpenedFile): string =>
  `"${stats.ino.toString(36)}-${stats.size.toString(36)}-${stats.mtimeNs.toString(36)}"`;

/** The headers that any answer about this file carries. */
function fileHeaders(file: OpenedFile): Record<string, string> {
  return {
    "Content-Type": "application/octet-stream",
    "Accept-Ranges": "bytes",
    "Last-Modified": new Date(Number(file.stats.mtimeMs)).toUTCString(),
    ETag: entityTag(file),
  };
}

/** Resolves once the bytes left our hands, so that their buffer may be used again. */
export function written(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error("the reader left"));
    if (response.destroyed) return gone();
    response.once("close", gone);
    response.write(bytes, (error) => {
      response.off("close", gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Two buffers take turns: one is filled from the file while the other goes out. */
async function sendRange(
  handle: FileHandle,
  response: ServerResponse,
  range: ByteRange,
): Promise<void> {
  const bufferBytes = Math.min(CHUNK_BYTES, range.length);
  const buffers = [Buffer.allocUnsafeSlow(bufferBytes), Buffer.allocUnsafeSlow(bufferBytes)];
  let sending: Promise<void> = Promise.resolve();
  const end = range.start + range.length;
  for (let position = range.start, turn = 0; position < end; turn += 1) {
    const buffer = buffers[turn % 2] as Buffer;
    const wanted = Math.min(buffer.length, end - position);
    const [{ bytesRead }] = await Promise.all([handle.read(buffer, 0, wanted, position), sending]);
    // Shorter than its size said: the promised length cannot be kept, so the answer is cut.
    if (bytesRead === 0) throw new Error("the file was cut while it was read");
    position += bytesRead;
    sending = written(response, buffer.subarray(0, bytesRead));
  }
  await sending;
}

function rangeWanted(request: IncomingMessage, file: OpenedFile): ByteRange | undefined {
  const condition = request.headers["if-range"];
  if (condition !== undefined && condition !== entityTag(file)) return undefined;
  return parseRange(request.headers.range, Number(file.stats.size));
}

async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: OpenedFile,
): Promise<void> {
  const size = Number(file.stats.size);
  const range = rangeWanted(request, file);
  const length = range?.length ?? size;
  response.writeHead(range === undefined ? 200 : 206, {
    ...fileHeaders(file),
    "Content-Length": length,
    ...(range === undefined
      ? {}
      : { "Content-Range": `bytes ${range.start}-${range.start + length - 1}/${size}` }),
  });
  if (request.method !== "HEAD") {
    await sendRange(file.handle, response, range ?? { start: 0, length: size });
  }
  response.end();
}

/** `GET` and `HEAD` of one file, which is closed. Throws before the first byte, or cuts the answer after it. */
export async function download(
  request: IncomingMessage,
  response: ServerResponse,
  file: OpenedFile,
  path: string,
): Promise<void> {
  try {
    if (request.headers["if-none-match"] === entityTag(file)) {
      response.writeHead(304, fileHeaders(file)).end();
    } else if (file.stats.size > 0n) {
      await sendFile(request, response, file);
    } else {
      // Empty, or of /proc, where only reading tells the length.
      const content = await readWholeFile(file, path);
      response.writeHead(200, { ...fileHeaders(file), "Content-Length": content.length });
      response.end(request.method === "HEAD" ? undefined : content);
    }
  } catch (error) {
    if (error instanceof InsienError && error.code === "range_not_satisfiable") {
      response.setHeader("Content-Range", `bytes */${file.stats.size}`);
    }
    throw error;
  } finally {
    await file.handle.close();
  }
}
