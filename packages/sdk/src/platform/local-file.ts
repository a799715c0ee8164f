/** Files of this machine, in large pieces whose memory is used over and over. */
import { open, type FileHandle } from "node:fs/promises";
import type * as http from "node:http";
import { pipeline } from "node:stream/promises";

export const PIECE_BYTES = 1024 * 1024;

/** Sends the file as the request's body, as long as it is when it is opened. */
export async function sendFile(outgoing: http.ClientRequest, localPath: string): Promise<void> {
  const file = await open(localPath);
  try {
    const stats = await file.stat();
    if (stats.isFile() && stats.size > 0) await sendBytes(outgoing, file, stats.size);
    // Pipes, and what lies in /proc, tell their length only in being read.
    else await pipeline(file.createReadStream(), outgoing);
  } finally {
    await file.close();
  }
}

/** Two buffers take turns: one is filled from the file while the other goes out. */
async function sendBytes(
  outgoing: http.ClientRequest,
  file: FileHandle,
  size: number,
): Promise<void> {
  outgoing.setHeader("content-length", size);
  let filling = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, size));
  let emptying = Buffer.allocUnsafeSlow(filling.length);
  let sending = Promise.resolve();
  for (let position = 0; position < size;) {
    const wanted = Math.min(filling.length, size - position);
    const [{ bytesRead }] = await Promise.all([file.read(filling, 0, wanted, position), sending]);
    if (bytesRead === 0) throw new Error("the file was cut while it was read");
    position += bytesRead;
    sending = written(outgoing, filling.subarray(0, bytesRead));
    [filling, emptying] = [emptying, filling];
  }
  await sending;
  outgoing.end();
}

/** Resolves once the bytes left our hands, so that their buffer may be used again. */
function written(outgoing: http.ClientRequest, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new Error("the connection broke"));
    if (outgoing.destroyed) return gone();
    outgoing.once("close", gone);
    outgoing.write(bytes, (error) => {
      outgoing.off("close", gone);
      if (error) reject(error);
      else resolve();
    });
  });
}

export async function writeWhole(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
  }
}
