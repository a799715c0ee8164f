import type { Duplex } from "node:stream";
import { copyBytes } from "@insien/sockets";
import type { FastifyReply } from "fastify";

/** How the client is told where a body ends. */
export type BodyEnd =
  /** After exactly so many bytes. */
  | { lengthBytes: number }
  /** By the chunks that the bytes are in already; the connection ends with them. */
  | "chunked";

/**
 * Writes the head as Node's server does and the body straight to the socket below it, past every
 * parser. Of a body of known length exactly as many bytes go out as the head promises, since what
 * came after them would be read as the next answer. A body that breaks off breaks the connection.
 */
export function sendRawBody(
  reply: FastifyReply,
  head: { status: number; headers: Readonly<Record<string, string>> },
  body: Duplex,
  end: BodyEnd,
): void {
  const { raw } = reply;
  const framing: Record<string, string> =
    end === "chunked" ? { "transfer-encoding": "chunked", connection: "close" } : {};
  for (const [name, value] of Object.entries({
    ...reply.getHeaders(),
    ...head.headers,
    ...framing,
  }))
    if (value !== undefined) raw.setHeader(name, value);
  reply.hijack();
  raw.writeHead(head.status).flushHeaders();
  // The last chunk is the agent's to send: Node must not add one to a body that broke off.
  if (end === "chunked") raw.chunkedEncoding = false;
  const finish = (): void => {
    raw.end();
    body.destroy();
  };
  if (end !== "chunked" && end.lengthBytes === 0) {
    finish();
    return;
  }
  // A request that was sent ahead of its turn has no socket yet; its response holds the bytes.
  const limit = end === "chunked" ? {} : { limitBytes: end.lengthBytes, onLimit: finish };
  const letGo = copyBytes(body, raw.socket ?? raw, limit);
  body.resume();
  body.once("end", () => (end === "chunked" ? finish() : body.destroy()));
  body.once("close", () => {
    letGo();
    // Fewer bytes than were promised: only the connection's end can say so.
    if (!raw.writableEnded) raw.destroy();
  });
}
