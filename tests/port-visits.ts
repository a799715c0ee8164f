/** Visits to ports of sandboxes, by whatever name they are asked for, and a program to visit. */
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import type { Sandbox } from "@insien/sandbox";

export interface Visit {
  /** The host that the request names; it is sent to `url` all the same. */
  host?: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
}

export interface Seen {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** The answer's head; its body is the caller's to read. */
export function open(url: string, visit: Visit = {}): Promise<IncomingMessage> {
  const { hostname, port } = new URL(url);
  const { host = `${hostname}:${port}`, method = "GET", path = "/", headers = {}, body } = visit;
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: hostname, port, method, path, headers: { host, ...headers }, agent: false },
      resolve,
    );
    request.once("error", reject);
    request.end(body);
  });
}

export async function visit(url: string, options: Visit = {}): Promise<Seen> {
  const answer = await open(url, options);
  let text = "";
  for await (const chunk of answer.setEncoding("utf8")) text += String(chunk);
  return { status: answer.statusCode ?? 0, headers: answer.headers, text };
}

/** What the program below answers to `/headers`. */
export interface ProgramSaw {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
}

/** Serves on a port inside: headers, uploads, downloads, events, redirects, cookies and WebSockets. */
const PROGRAM = String.raw`
const http = require("node:http");
const { createHash } = require("node:crypto");
const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://program");
  const said = JSON.stringify({ method: request.method, url: request.url, headers: request.headers });
  if (url.pathname === "/download") {
    const chunk = Buffer.alloc(1 << 20, 7);
    let left = Number(url.searchParams.get("mib"));
    const more = () => {
      while (left > 0) { left -= 1; if (!response.write(chunk)) return response.once("drain", more); }
      response.end();
    };
    return more();
  }
  if (url.pathname === "/upload") {
    const hash = createHash("sha256");
    request.on("data", (chunk) => hash.update(chunk));
    return request.on("end", () => response.end(hash.digest("hex")));
  }
  if (url.pathname === "/events") {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    let count = 0;
    const timer = setInterval(() => response.write("data: " + (count += 1) + "\n\n"), 100);
    return request.on("close", () => clearInterval(timer));
  }
  if (url.pathname === "/redirect") {
    response.writeHead(302, { location: url.searchParams.get("to") });
    return response.end();
  }
  if (url.pathname === "/cookies") {
    response.setHeader("set-cookie", url.searchParams.getAll("set"));
    return response.end(said);
  }
  if (url.pathname === "/page") {
    response.setHeader("content-type", "text/html");
    return response.end('<!doctype html><title>page</title><script src="script.js"></script>');
  }
  if (url.pathname === "/script.js") {
    response.setHeader("content-type", "text/javascript");
    return response.end("fetch('headers', { method: 'POST', headers: { 'x-own': '1' } })" +
      ".then((answer) => answer.json()).then(({ method }) => (document.title = method + ' ' + self.origin))");
  }
  response.setHeader("content-type", "application/json");
  response.end(said);
});
server.on("upgrade", (request, socket) => {
  const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  const accept = createHash("sha1").update(key).digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Accept: " + accept + "\r\n\r\n");
  socket.on("error", () => socket.destroy());
  socket.on("data", (frame) => {
    if ((frame[0] & 15) !== 1) return socket.end(Buffer.from([0x88, 0]));
    const length = frame[1] & 127;
    const text = Buffer.from(frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + (at % 4)]));
    socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
  });
});
server.listen(Number(process.argv[2]));
require("node:net").createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
  .listen(Number(process.argv[2]) + 1);
`;

/** Starts the program: HTTP on `port`, and a TCP echo on the next one. */
export async function serveIn(sandbox: Sandbox, port: number): Promise<void> {
  await sandbox.files.write("program.cjs", PROGRAM);
  await sandbox.commands.start(["node", "program.cjs", String(port)], { background: true });
  await sandbox.ports.waitFor(port);
}
