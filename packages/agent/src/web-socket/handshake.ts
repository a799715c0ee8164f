import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { sha1 } from "./sha1.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY = /^[+/0-9A-Za-z]{22}==$/;

export const acceptKey = (key: string): string => sha1(key + GUID).toString("base64");

/** Answers an upgrade request with 101, or with an error status and `false`. */
export function acceptUpgrade(request: IncomingMessage, stream: Duplex): boolean {
  const key = request.headers["sec-websocket-key"];
  const wanted =
    request.method === "GET" &&
    request.headers.upgrade?.toLowerCase() === "websocket" &&
    request.headers["sec-websocket-version"] === "13" &&
    key !== undefined &&
    KEY.test(key);
  if (!wanted) {
    refuseUpgrade(stream, 400, "Bad Request");
    return false;
  }
  stream.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptKey(key)}\r\n\r\n`,
  );
  return true;
}

export function refuseUpgrade(stream: Duplex, status: number, reason: string): void {
  stream.end(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
