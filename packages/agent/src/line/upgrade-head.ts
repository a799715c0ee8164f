import type { Duplex } from "node:stream";

/** More than any orchestrator's answer to an upgrade needs. */
const MAX_HEAD_BYTES = 16 * 1024;
const HEAD_END = "\r\n\r\n";

/**
 * Reads an HTTP response's head and puts what came behind it back into the stream. Rejects when the
 * status is not 101 or the stream ends.
 */
export function readUpgradeHead(stream: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      stream.off("data", read);
      stream.off("end", closed);
      stream.off("close", closed);
      act();
    };
    const closed = (): void => settle(() => reject(new Error("the line closed while dialling")));
    const read = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf(HEAD_END);
      if (end === -1 && seen.length < MAX_HEAD_BYTES) return;
      stream.pause();
      const head = seen.toString("latin1", 0, end === -1 ? MAX_HEAD_BYTES : end);
      settle(() => {
        if (!head.startsWith("HTTP/1.1 101 ")) {
          reject(new Error(`the line was refused: ${head.split("\r\n")[0]}`));
          return;
        }
        const rest = seen.subarray(end + HEAD_END.length);
        if (rest.length > 0) stream.unshift(rest);
        resolve(head);
      });
    };
    stream.on("data", read);
    stream.on("end", closed);
    stream.on("close", closed);
  });
}
