import type { FileHandle } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { finished } from "node:stream/promises";
import { LIMITS } from "@insien/protocol";
import { copyBytes, takeBody, type TakenBody } from "@insien/sockets";
import { AtomicFile, type MakeOptions } from "./atomic-file.ts";
import { namingPath } from "./file-error.ts";

/** Pieces off the socket are gathered to this much, then written in one call. */
const BATCH_BYTES = 1024 * 1024;
/** Bodies of more are read past the parser. */
const TAKEN = { minimumBytes: 1024 * 1024, lingerMs: LIMITS.closeMs.value };

/** Writes all of `pieces`, which one `writev` need not. */
async function writeAll(handle: FileHandle, pieces: Buffer[], bytes: number): Promise<void> {
  const { bytesWritten } = await handle.writev(pieces);
  if (bytesWritten < bytes) await handle.writeFile(Buffer.concat(pieces).subarray(bytesWritten));
}

/** While one batch is being written the next one is gathered: two of them are held at most. */
async function receive(request: IncomingMessage, handle: FileHandle): Promise<number> {
  let size = 0;
  let pieces: Buffer[] = [];
  let gathered = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    await writing;
    writing = writeAll(handle, pieces, gathered);
    // Seen again by the await above; until then a failure must not count as unhandled.
    writing.catch(() => undefined);
    pieces = [];
    gathered = 0;
  };
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false })) {
      const bytes = piece as Buffer;
      pieces.push(bytes);
      gathered += bytes.length;
      size += bytes.length;
      if (gathered >= BATCH_BYTES) await flush();
    }
    if (gathered > 0) await flush();
  } finally {
    // The file is closed next, which must not happen under a write.
    await writing;
  }
  return size;
}

/** The same past the parser, with a quarter of the work. */
async function receiveTaken(body: TakenBody, handle: FileHandle): Promise<number> {
  const { socket, lengthBytes } = body;
  const file = handle.createWriteStream({ highWaterMark: BATCH_BYTES });
  const left = () => file.destroy(new Error("the sender left"));
  const letGo = copyBytes(socket, file, { limitBytes: lengthBytes, onLimit: () => file.end() });
  socket.once("end", left).once("close", left);
  socket.resume();
  try {
    await finished(file);
    return lengthBytes;
  } finally {
    socket.off("end", left).off("close", left);
    letGo();
  }
}

/** The body of an upload, past the parser where it is large. */
export async function bodyOf(
  request: IncomingMessage,
  response: ServerResponse,
): Promise<TakenBody | IncomingMessage> {
  return (await takeBody(request, response, TAKEN)) ?? request;
}

/**
 * Takes a body as the new content of `path`, of any size in constant memory. An upload that breaks
 * off leaves what was there before. Returns the number of bytes.
 */
export async function upload(
  body: TakenBody | IncomingMessage,
  path: string,
  options: MakeOptions,
): Promise<number> {
  return namingPath(path, async () => {
    await using file = await AtomicFile.create(path, options);
    const size =
      "lengthBytes" in body
        ? await receiveTaken(body, file.handle)
        : await receive(body, file.handle);
    await file.commit();
    return size;
  });
}
