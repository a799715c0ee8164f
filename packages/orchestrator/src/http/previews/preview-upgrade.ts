import {
  type IncomingMessage,
  type OutgoingHttpHeaders,
  ServerResponse,
  request as httpRequest,
} from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import { Splice, type SpliceBounds } from "../../ws/splice.ts";
import { explain } from "./port-exchange.ts";

export interface Upgrading {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
}

/** For whatever is answered instead of an upgrade. */
export function responseTo({ request, socket }: Upgrading): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  // Only a real socket comes with an upgrade; the event's type is wider.
  response.assignSocket(socket as Socket);
  response.once("finish", () => socket.end());
  return response;
}

export interface UpgradeOnward {
  /** A connection on which the program, or another node, is an HTTP server. */
  connect(signal: AbortSignal): Promise<Duplex>;
  options: { path: string | undefined; headers: OutgoingHttpHeaders };
  headersOf(answer: IncomingMessage): Record<string, string | string[]>;
  lost: AbortSignal;
}

/**
 * Asks onward for the WebSocket that the visitor asked for, and joins both byte for byte; what they
 * agree on is between them. `undefined` when the program answered as to a plain request.
 */
export async function joinUpgrade(
  upgrading: Upgrading,
  onward: UpgradeOnward,
  bounds: SpliceBounds & { handshakeMs: number },
): Promise<Splice | undefined> {
  const { request, socket, head } = upgrading;
  const gone = new AbortController();
  const leave = () => gone.abort(new InsienError("connection_lost", "The visitor left"));
  socket.once("close", leave);
  const timer = setTimeout(() => {
    const message = `The program did not answer the WebSocket request within ${bounds.handshakeMs / 1000} s`;
    gone.abort(new InsienError("port_silent", message));
  }, bounds.handshakeMs);
  const signal = AbortSignal.any([gone.signal, onward.lost]);
  try {
    const answer = await ask(request, onward, signal);
    socket.off("close", leave);
    if (!("upstream" in answer)) {
      clearTimeout(timer);
      const response = responseTo(upgrading);
      response.writeHead(answer.response.statusCode ?? 502, onward.headersOf(answer.response));
      await pipeline(answer.response, response);
      return undefined;
    }
    const { upstream, response } = answer;
    if (socket.destroyed) {
      upstream.destroy();
      return undefined;
    }
    socket.write(switching(onward.headersOf(response)), "latin1");
    if (socket instanceof Socket) socket.setNoDelay(true).setTimeout(0);
    if (head.length > 0) socket.unshift(head);
    if (answer.head.length > 0) upstream.unshift(answer.head);
    return new Splice(socket, upstream, onward.lost, bounds);
  } catch (error) {
    throw explain(error, signal);
  } finally {
    clearTimeout(timer);
    socket.off("close", leave);
  }
}

type UpgradeAnswer =
  | { response: IncomingMessage; upstream: Duplex; head: Buffer }
  | { response: IncomingMessage };

async function ask(
  request: IncomingMessage,
  { connect, options }: UpgradeOnward,
  signal: AbortSignal,
): Promise<UpgradeAnswer> {
  const stream = await connect(signal);
  return new Promise((resolve, reject) => {
    const toProgram = httpRequest({
      ...options,
      method: request.method,
      headers: { ...options.headers, connection: "Upgrade", upgrade: "websocket" },
      createConnection: () => stream,
      maxHeaderSize: LIMITS.portAnswerHeaderBytes.value,
      signal,
    });
    toProgram.once("upgrade", (response, upstream, head) => resolve({ response, upstream, head }));
    toProgram.once("response", (response) => resolve({ response }));
    toProgram.once("error", reject);
    toProgram.once("close", () =>
      reject(new InsienError("port_answer_invalid", "The program closed the connection")),
    );
    toProgram.end();
  });
}

function switching(headers: Record<string, string | string[]>): string {
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}: ${value}\r\n`),
  );
  const first = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
  return `${first}${lines.join("")}\r\n`;
}
