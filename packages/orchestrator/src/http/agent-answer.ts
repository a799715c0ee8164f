/** HTTP on a line connection by hand: what follows the heads is then bytes that no parser holds up. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";

const HEAD_BYTES = 16 * 1024;
const END_OF_HEAD = "\r\n\r\n";

export interface AgentRequest {
  path: string;
  headers: Record<string, string>;
}

export interface AnswerHead {
  status: number;
  headers: Record<string, string>;
}

/** In HTTP/1.0 a body is plain bytes; in 1.1 one of unknown length comes in chunks. */
export function requestHead(
  method: "GET" | "PUT",
  request: AgentRequest,
  version: "1.0" | "1.1" = "1.0",
): string {
  const headers = { host: "agent", connection: "close", ...request.headers };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${request.path} HTTP/${version}\r\n${lines.join("")}\r\n`;
}

/** Reads to the end of the head and puts back what followed it. */
export async function readHead(stream: Duplex, signal: AbortSignal): Promise<AnswerHead> {
  let received = Buffer.alloc(0);
  for (;;) {
    const end = received.indexOf(END_OF_HEAD);
    if (end >= 0) {
      const rest = received.subarray(end + END_OF_HEAD.length);
      if (rest.length > 0) stream.unshift(rest);
      return parseHead(received.toString("latin1", 0, end));
    }
    if (received.length > HEAD_BYTES) {
      throw new InsienError("internal", "The agent's answer has a head without end");
    }
    received = Buffer.concat([received, await nextChunk(stream, signal)]);
  }
}

/** The body of an answer that is a few words: as long as its head says, else to the end. */
export async function readShortBody(
  stream: Duplex,
  headers: AnswerHead["headers"],
  signal: AbortSignal,
): Promise<string> {
  const lengthBytes = Number(headers["content-length"] ?? Number.POSITIVE_INFINITY);
  const limitBytes = Math.min(lengthBytes, LIMITS.lineAnswerBytes.value);
  let received = Buffer.alloc(0);
  try {
    while (received.length < limitBytes) {
      received = Buffer.concat([received, await nextChunk(stream, signal)]);
    }
  } catch {
    // The end of the connection is the end of the body.
  }
  return received.toString("utf8", 0, limitBytes);
}

/** Throws when there is none. */
async function nextChunk(stream: Duplex, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const chunk: unknown = stream.read();
    if (chunk instanceof Buffer) return chunk;
    if (stream.readableEnded || stream.destroyed) {
      throw new InsienError("connection_lost", "The sandbox's agent ended the connection unasked");
    }
    const settled = new AbortController();
    const either = { signal: AbortSignal.any([signal, settled.signal]) };
    try {
      await Promise.race(["readable", "end", "close"].map((event) => once(stream, event, either)));
    } finally {
      settled.abort();
    }
  }
}

function parseHead(head: string): AnswerHead {
  const [first = "", ...lines] = head.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? Number.NaN);
  if (!Number.isInteger(status)) {
    throw new InsienError("internal", "The agent's answer is not HTTP");
  }
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status, headers };
}
