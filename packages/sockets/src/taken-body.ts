import type { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";

/** A request's body that no parser reads any more. */
export interface TakenBody {
  /** Paused. The next byte that it gives is the body's first one. */
  socket: Socket;
  /** How many of the bytes to come are the body's; what is behind them is not. */
  lengthBytes: number;
}

interface TakeOptions {
  /** Smaller bodies are left to the parser. */
  minimumBytes: number;
  /** How long the client gets to read an answer that comes before its body's end. */
  lingerMs: number;
}

/**
 * Takes the body of a request that nothing has read of yet away from Node's HTTP parser, which costs
 * most of what it takes to receive a large one. The connection is of no use for another request and
 * ends with the answer. An early end of the body is for the caller to see.
 *
 * `undefined`: the request stays as it was, because its length is not known or less than
 * `minimumBytes`, all of it has arrived already, or its connection is no plain socket.
 */
export async function takeBody(
  request: IncomingMessage,
  response: ServerResponse,
  options: TakeOptions,
): Promise<TakenBody | undefined> {
  if (!isTakable(request, options.minimumBytes)) return undefined;
  // The parser may be in the middle of what it read last; it has handed all of it on by then.
  await setImmediate();
  if (!isTakable(request, options.minimumBytes)) return undefined;
  const { socket } = request;
  response.setHeader("Connection", "close");
  endGently(socket, options.lingerMs);
  for (const event of ["data", "end"]) socket.removeAllListeners(event);
  // The parser reads past the stream until somebody else wants its data; this is that somebody.
  const nobody = () => undefined;
  socket.on("data", nobody).off("data", nobody);
  const parsed: unknown = request.read();
  socket.pause();
  if (parsed instanceof Buffer) socket.unshift(parsed);
  return { socket, lengthBytes: Number(request.headers["content-length"]) };
}

const isTakable = (request: IncomingMessage, minimumBytes: number): boolean =>
  Number(request.headers["content-length"] ?? Number.NaN) >= minimumBytes &&
  request.headers["transfer-encoding"] === undefined &&
  // Behind a complete request the parser may have begun to read the next one.
  !request.complete &&
  !request.destroyed &&
  request.socket instanceof Socket;

/**
 * Closed under a client that still sends, a connection breaks before its answer is read. So only our
 * side is ended after it, and what the other one still sends is thrown away for a while.
 */
function endGently(socket: Socket, lingerMs: number): void {
  socket.destroySoon = () => {
    const timer = setTimeout(() => socket.destroy(), lingerMs);
    socket.once("close", () => clearTimeout(timer));
    socket.end();
    socket.resume();
  };
}
