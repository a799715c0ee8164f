import { createConnection, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { LIMITS, LINE_WEBSOCKET_PROTOCOL } from "@insien/protocol";
import { acceptKey } from "../web-socket/handshake.ts";
import { WebSocket } from "../web-socket/web-socket.ts";
import type { Carrier } from "./line.ts";
import { readUpgradeHead } from "./upgrade-head.ts";

const KEY_BYTES = 16;
const DEFAULT_PORTS: Record<string, number> = { "ws:": 80, "wss:": 443 };
const SILENT_HEARTBEATS = 3;

/** `address`: `ws://host:port` or `wss://host:port`, with or without a path before `/line/...`. */
export function webSocketCarrier(
  address: string,
  machineId: string,
  readToken: () => string,
): Carrier {
  const url = new URL(`${address.replace(/\/$/, "")}/line/${machineId}`);
  return async (signal) => {
    const socket = await connect(url);
    const abort = (): void => void socket.destroy();
    signal.addEventListener("abort", abort, { once: true });
    try {
      socket.setNoDelay(true);
      socket.setTimeout(LIMITS.lineTakeMs.value, abort);
      const key = Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES))).toString("base64");
      socket.write(upgradeRequest(url, key, readToken()));
      const head = await readUpgradeHead(socket);
      if (!head.includes(acceptKey(key)))
        throw new Error("the line is not answered by a WebSocket");
      socket.setTimeout(0);
      return new WebSocketStream(socket);
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  };
}

async function connect(url: URL): Promise<Socket> {
  const port = Number(url.port) || DEFAULT_PORTS[url.protocol] || 0;
  const host = url.hostname.replace(/^\[|\]$/g, "");
  let socket: Socket;
  if (url.protocol === "wss:") {
    // Loaded only where it is needed: TLS costs memory in every process that has it.
    const tls = await import("node:tls");
    socket = tls.connect({ host, port, servername: host, ALPNProtocols: ["http/1.1"] });
  } else {
    socket = createConnection({ host, port });
  }
  socket.on("error", () => socket.destroy());
  return socket;
}

function upgradeRequest(url: URL, key: string, token: string): string {
  return [
    `GET ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${key}`,
    `Sec-WebSocket-Protocol: ${LINE_WEBSOCKET_PROTOCOL}`,
    `Authorization: Bearer ${token}`,
    "\r\n",
  ].join("\r\n");
}

/** The messages of a WebSocket as one byte stream, with pings that find out a dead network. */
class WebSocketStream extends Duplex {
  readonly #socket: WebSocket;
  readonly #heartbeat: NodeJS.Timeout;
  #unanswered = 0;

  constructor(socket: Socket) {
    super({ allowHalfOpen: false });
    this.#socket = new WebSocket(socket, { maxBytes: LIMITS.rpcFrameBytes.value, role: "client" });
    this.#heartbeat = setInterval(() => this.#beat(), LIMITS.lineHeartbeatMs.value);
    this.#socket.listen({
      message: (data) => {
        this.#unanswered = 0;
        if (!this.push(data)) this.#socket.pause();
      },
      pong: () => {
        this.#unanswered = 0;
      },
      close: () => void this.destroy(),
    });
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#socket.sendBinary(chunk);
    this.#socket.onceDrained(done);
  }

  override _final(done: () => void): void {
    this.#socket.close();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    this.#socket.terminate();
    done(error);
  }

  #beat(): void {
    this.#unanswered += 1;
    if (this.#unanswered > SILENT_HEARTBEATS) this.destroy();
    else this.#socket.ping();
  }
}
