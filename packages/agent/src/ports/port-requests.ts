/** The two doors to a TCP port inside: `CONNECT localhost:PORT`, and the WebSocket `/ports/PORT`. */
import { STATUS_CODES, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { AGENT_PATHS, InsienError, LIMITS } from "@insien/protocol";
import { asInsienError } from "../error-answer.ts";
import { acceptUpgrade } from "../web-socket/handshake.ts";
import { WebSocket } from "../web-socket/web-socket.ts";
import { connectLocally, parsePort } from "./local-connection.ts";

const LOOPBACK_TARGET = /^(?:localhost|127\.0\.0\.1|\[::1\]):(\d+)$/i;

/** Answers on a stream that no `ServerResponse` belongs to, and ends it. */
function refuse(stream: Duplex, thrown: unknown): void {
  const error = asInsienError(thrown);
  const body = JSON.stringify({ error: error.toBody() });
  // Nobody reads what still comes, and only a stream that is read to its end closes.
  stream.resume();
  stream.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? "Error"}\r\n` +
      "Content-Type: application/json\r\nConnection: close\r\n" +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Copies both ways until both have ended; a broken side takes the other with it. */
function join(left: Duplex, right: Duplex): void {
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}

function connectTarget(request: IncomingMessage): number {
  const port = LOOPBACK_TARGET.exec(request.url ?? "")?.[1];
  if (port !== undefined) return parsePort(port);
  throw new InsienError("forbidden", `CONNECT reaches localhost only, not ${request.url}`);
}

/** Serves `CONNECT localhost:PORT`. Nothing is thrown: refusals are answered on the stream. */
export async function handleConnect(
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  stream.on("error", () => stream.destroy());
  try {
    const socket = await connectLocally(connectTarget(request));
    if (stream.destroyed) {
      socket.destroy();
      return;
    }
    stream.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) socket.write(head);
    join(stream, socket);
  } catch (error) {
    refuse(stream, error);
  }
}

/**
 * Binary messages are the bytes. An empty message says that the client will send no more, while it
 * still reads; the port's own end closes the WebSocket.
 */
function joinWebSocket(stream: Duplex, socket: Socket, head: Buffer): void {
  const maxBytes = LIMITS.rpcFrameBytes.value;
  const webSocket = new WebSocket(stream, { maxBytes, role: "server", head });
  webSocket.listen({
    message(data) {
      if (data.length === 0) {
        socket.end();
      } else if (!socket.write(data)) {
        webSocket.pause();
        socket.once("drain", () => webSocket.resume());
      }
    },
    close: () => socket.destroy(),
  });
  socket.on("data", (chunk: Buffer) => {
    webSocket.sendBinary(chunk);
    if (webSocket.pendingBytes <= LIMITS.sendBufferBytes.value) return;
    socket.pause();
    webSocket.onceDrained(() => socket.resume());
  });
  socket.on("end", () => webSocket.close());
  socket.on("error", () => webSocket.close());
}

/** Serves the WebSocket `/ports/PORT`. Nothing is thrown: refusals are answered on the stream. */
export async function handlePortUpgrade(
  request: IncomingMessage,
  stream: Duplex,
  head: Buffer,
): Promise<void> {
  stream.on("error", () => stream.destroy());
  try {
    const { pathname } = new URL(request.url ?? "/", "http://agent");
    const socket = await connectLocally(parsePort(pathname.slice(AGENT_PATHS.ports.length + 1)));
    if (acceptUpgrade(request, stream)) joinWebSocket(stream, socket, head);
    else socket.destroy();
  } catch (error) {
    refuse(stream, error);
  }
}
