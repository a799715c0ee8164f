/**
 * An agent that means harm, run in place of the real one. It has a valid token, as any program has
 * that took over the first process of its machine. The test says how to behave, by a file in the kit.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { type Socket, createConnection } from "node:net";

type Behaviour = (socket: Socket, request: string) => unknown;

const MACHINE = process.env["INSIEN_MACHINE_ID"] ?? "";
const ORDERS = `/insien/kit/behaviour-${MACHINE}`;
const SOCKET = "/insien/line/line.sock";
const TOKEN = readFileSync("/insien/line/token", "utf8").trim();
const KIB = Buffer.alloc(1024, "x");

const hello = (machineId: string) =>
  `${JSON.stringify({ type: "hello", version: "0", machineId, bootId: "b", home: "/", user: "user", startedAt: "now" })}\n`;
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const answer = (status: string, body: string) =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

/** Writes the same for ever, as fast as it is read. */
function pour(socket: Socket, bytes: string | Buffer): void {
  const more = () => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", more);
  more();
}

/** Well-behaved until it has been made a sandbox; what comes then is up to `later`. */
const honestAtFirst =
  (later: Behaviour): Behaviour =>
  (socket, request) => {
    if (request.startsWith("GET /control/events")) socket.write(chunked + chunk(hello(MACHINE)));
    else if (request.startsWith("POST /control/bind"))
      socket.write("HTTP/1.1 204 No Content\r\n\r\n");
    else later(socket, request);
  };
const honest = honestAtFirst(() => undefined);
/** Honest but for what it tells its orchestrator unasked. */
const onControl =
  (then: Behaviour): Behaviour =>
  (socket, request) => {
    honest(socket, request);
    if (request.startsWith("GET /control/events")) then(socket, request);
  };
/** Holds what no database takes: NUL and half of a surrogate pair. */
const ABSURD_EVENT = `${JSON.stringify({
  type: "started",
  processId: "\0\ud800",
  command: ["\0", 7, "x".repeat(9000)],
  cwd: {},
  user: null,
  at: "never",
})}\n`;
const acceptKey = (request: string) =>
  createHash("sha1")
    .update(
      `${/sec-websocket-key: *(\S+)/i.exec(request)?.[1]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    )
    .digest("base64");
const asWebSocket = (then: Behaviour): Behaviour =>
  honestAtFirst((socket, request) => {
    if (!/upgrade: websocket/i.test(request)) return void socket.end(answer("404 Not Found", ""));
    const accept = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptKey(request)}`;
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${accept}\r\n\r\n`);
    then(socket, request);
  });
const textFrame = (text: string) => {
  const head = Buffer.from([0x81, 126, 0, 0]);
  head.writeUInt16BE(Buffer.byteLength(text), 2);
  return Buffer.concat([head, Buffer.from(text)]);
};

const BEHAVIOURS: Record<string, Behaviour> = {
  /** Takes every request and answers none. */
  SILENT: () => undefined,
  GARBAGE: (socket) => void socket.write("\x16\x03\x01 this is not HTTP\r\n\r\n"),
  OVERSIZED_HEADER: (socket) =>
    void socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(1_000_000)}\r\n\r\n`),
  ENDLESS_HEADERS: (socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    pour(socket, Buffer.from(`X: ${"x".repeat(1000)}\r\n`));
  },
  ENDLESS_CONTINUE: (socket) =>
    pour(socket, Buffer.from("HTTP/1.1 100 Continue\r\n\r\n".repeat(100))),
  UPGRADE_UNASKED: (socket) =>
    void socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ),
  LYING_HELLO: (socket) => void socket.write(chunked + chunk(hello("someoneelse1234"))),
  NO_JSON: (socket) => void socket.write(chunked + chunk("{]\n")),
  REFUSES_BIND: (socket, request) => {
    if (request.startsWith("GET /control/events")) socket.write(chunked + chunk(hello(MACHINE)));
    else pour(socket, Buffer.from("HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n"));
  },
  /** From here on it lets itself be created. */
  NULL_EVENT: onControl((socket) => void socket.write(chunk('null\n[]\n"x"\n'))),
  /** A line of a gigabyte and more. */
  ENDLESS_LINE: onControl((socket) => pour(socket, chunk(KIB.toString().repeat(64)))),
  EVENT_FLOOD: onControl((socket) => pour(socket, chunk(ABSURD_EVENT.repeat(20)))),
  SILENT_LATER: honest,
  GARBAGE_LATER: honestAtFirst((socket) => void socket.end("not HTTP\r\n\r\n")),
  ABSURD_REFUSAL: honestAtFirst(
    (socket) =>
      void socket.end(answer("500 No", '{"error":{"code":"internal","message":{"toString":1}}}')),
  ),
  ENDLESS_REFUSAL: honestAtFirst((socket) => {
    socket.write("HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n");
    pour(socket, KIB);
  }),
  ENDLESS_FILE: honestAtFirst((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    pour(socket, KIB);
  }),
  FRAME_NO_JSON: asWebSocket((socket) => void socket.write(textFrame("{]"))),
  FRAME_NULL: asWebSocket((socket) => void socket.write(textFrame("null"))),
  FRAME_ABSURD: asWebSocket((socket) => {
    socket.on("data", () =>
      socket.write(textFrame('{"id":null,"type":"error","error":{"message":{"toString":1}}}')),
    );
  }),
  ENDLESS_FRAME: asWebSocket((socket) => {
    socket.write(Buffer.from([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0]));
    pour(socket, KIB);
  }),
  /** Dials again and again and keeps every connection. */
  DIAL_FLOOD: honest,
  /** Begins to dial and never says what it wants. */
  HALF_OPEN: honest,
};

function dial(behaviour: string): void {
  const socket = createConnection(SOCKET);
  socket.on("error", () => undefined);
  let accepted = false;
  let replaced = behaviour === "DIAL_FLOOD";
  socket.on("data", (data) => {
    // The orchestrator's first request may come in one piece with its answer to the dial.
    const text = accepted ? String(data) : String(data).split("\r\n\r\n").slice(1).join("\r\n\r\n");
    accepted = true;
    if (!/^(GET|HEAD|PUT|POST) /.test(text)) return;
    if (!replaced) dial(behaviour);
    replaced = true;
    BEHAVIOURS[behaviour]?.(socket, text);
  });
  socket.on("close", () => replaced || setTimeout(dial, 50, behaviour));
  socket.write(
    `GET /line/${MACHINE} HTTP/1.1\r\nHost: insien\r\nConnection: Upgrade\r\n` +
      `Upgrade: insien-line\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`,
  );
}

function begin(): void {
  if (!existsSync(ORDERS)) return void setTimeout(begin, 20);
  const behaviour = readFileSync(ORDERS, "utf8");
  for (let index = 0; index < 3; index += 1) dial(behaviour);
  if (behaviour === "DIAL_FLOOD") setInterval(dial, 2, behaviour);
  if (behaviour === "HALF_OPEN") {
    setInterval(() => {
      createConnection(SOCKET)
        .on("error", () => undefined)
        .write("GET /line");
    }, 2);
  }
}

process.on("SIGTERM", () => process.exit(0));
begin();
