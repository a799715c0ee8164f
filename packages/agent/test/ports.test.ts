import { once } from "node:events";
import {
  createServer as createHttpServer,
  request,
  type IncomingMessage,
  type Server,
} from "node:http";
import {
  connect,
  createServer,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from "node:net";
import { networkInterfaces } from "node:os";
import { buffer } from "node:stream/consumers";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { handleConnect, handlePortUpgrade, portHandlers } from "../src/ports/index.ts";
import { parseAddress } from "../src/ports/listeners.ts";
import { noConnection } from "./files.fixture.ts";

const MiB = 1024 * 1024;
const BIG = 32 * MiB;
let line: Server;
let linePort: number;
const servers: TcpServer[] = [];

const portOf = (server: { address(): AddressInfo | string | null }): number =>
  (server.address() as AddressInfo).port;

beforeEach(async () => {
  line = createHttpServer();
  line.on("connect", (message, stream, head) => void handleConnect(message, stream, head));
  line.on("upgrade", (message, stream, head) => void handlePortUpgrade(message, stream, head));
  await once(line.listen(0, "127.0.0.1"), "listening");
  linePort = portOf(line);
});
afterEach(() => {
  for (const server of [line, ...servers.splice(0)]) server.close();
  line.closeAllConnections();
});

/** A program in the sandbox that listens. */
async function listen(serve: (socket: Socket) => void, host = "127.0.0.1"): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, serve);
  servers.push(server);
  await once(server.listen(0, host), "listening");
  return portOf(server);
}

const echo = (socket: Socket) => void socket.pipe(socket);

/** Answers the length of what it got, after the client said that it is done. */
const count = async (socket: Socket) => socket.end(String((await buffer(socket)).length));

async function freePort(): Promise<number> {
  const port = await listen(echo);
  const server = servers.pop();
  server?.close();
  return port;
}

async function tunnel(
  target: string,
): Promise<{ status: number | undefined; socket: Socket; head: Buffer }> {
  const outgoing = request({ port: linePort, method: "CONNECT", path: target }).end();
  const [response, socket, head] = (await once(outgoing, "connect")) as [
    IncomingMessage,
    Socket,
    Buffer,
  ];
  return { status: response.statusCode, socket, head };
}

/** A container has none as a rule, and nothing that could be installed gives it one. */
const hasIpv6 = networkInterfaces()["lo"]?.some(({ family }) => family === "IPv6") ?? false;
const NO_IPV6 = "this machine has no IPv6 loopback";

describe("CONNECT", () => {
  test.for(["127.0.0.1", "::1"])("reaches a program on %s", async (host, context) => {
    context.skip(host === "::1" && !hasIpv6, NO_IPV6);
    const port = await listen(echo, host);
    const { status, socket } = await tunnel(`localhost:${port}`);
    expect(status).toBe(200);
    socket.end("hello");
    expect((await buffer(socket)).toString()).toBe("hello");
  });

  test("one direction may end before the other", async () => {
    const { socket } = await tunnel(`127.0.0.1:${await listen((peer) => void count(peer))}`);
    socket.end(Buffer.alloc(BIG));
    expect((await buffer(socket)).toString()).toBe(String(BIG));
  });

  test.each([
    ["example.com:80", 403, "forbidden"],
    ["169.254.169.254:80", 403, "forbidden"],
    ["localhost:99999", 400, "invalid_request"],
  ])("%s is refused with %i %s", async (target, status, code) => {
    const answer = await tunnel(target);
    const body = Buffer.concat([answer.head, await buffer(answer.socket)]);
    expect([answer.status, JSON.parse(body.toString()).error.code]).toEqual([status, code]);
  });

  test("a port on which nothing listens answers 502", async () => {
    const answer = await tunnel(`localhost:${await freePort()}`);
    const body = Buffer.concat([answer.head, await buffer(answer.socket)]);
    expect([answer.status, JSON.parse(body.toString()).error.code]).toEqual([
      502,
      "port_not_listening",
    ]);
  });

  test("a client that leaves takes its connection with it", async () => {
    let left = false;
    const port = await listen((peer) => void peer.on("end", () => (left = true)).resume());
    const { socket } = await tunnel(`localhost:${port}`);
    socket.destroy();
    await waitFor(() => left, { describe: "the program to see its client leave" });
  });
});

describe("the WebSocket of a port", () => {
  const dial = async (port: number): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${linePort}/ports/${port}`);
    await once(socket, "open");
    return socket;
  };
  const collect = async (socket: WebSocket): Promise<Buffer> => {
    const parts: Buffer[] = [];
    socket.on("message", (data: Buffer) => parts.push(data));
    await once(socket, "close");
    return Buffer.concat(parts);
  };

  test("carries bytes both ways, and an empty message ends the client's side", async () => {
    const socket = await dial(await listen(echo));
    const answer = collect(socket);
    const sent = Buffer.alloc(BIG, "0123456789");
    for (let start = 0; start < BIG; start += MiB) socket.send(sent.subarray(start, start + MiB));
    socket.send(Buffer.alloc(0));
    expect((await answer).equals(sent)).toBe(true);
  });

  test("a client that does not read stops the program, not the agent's memory", async () => {
    let taken = 0;
    const port = await listen((peer) => {
      const send = () => {
        while (peer.write(Buffer.alloc(64 * 1024))) taken += 64 * 1024;
      };
      peer.on("drain", send).on("error", () => undefined);
      send();
    });
    const socket = await dial(port);
    socket.pause();
    let before = -1;
    await waitFor(() => before === (before = taken), {
      intervalMs: 200,
      describe: "the program to stop",
    });
    expect(taken).toBeLessThan(BIG);
    socket.terminate();
  });

  test("a port on which nothing listens answers 502 with the reason", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${linePort}/ports/${await freePort()}`);
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(502);
    expect(JSON.parse((await buffer(response)).toString()).error.code).toBe("port_not_listening");
  });
});

test("the list knows addresses of IPv6", async (context) => {
  context.skip(!hasIpv6, NO_IPV6);
  const port = await listen(echo, "::1");
  const { ports } = await portHandlers().ports({ id: 1, type: "ports" }, noConnection);
  expect(ports.find((found) => found.port === port)?.address).toBe("::1");
});

test("the list names who listens where", async () => {
  const port = await listen(echo);
  const { ports } = await portHandlers().ports({ id: 1, type: "ports" }, noConnection);
  expect(ports).toContainEqual({
    port,
    address: "127.0.0.1",
    pid: process.pid,
    process: expect.stringMatching(/./),
  });
  // Only what listens: a connected socket is no port.
  const client = connect(port, "127.0.0.1");
  await once(client, "connect");
  const again = await portHandlers().ports({ id: 1, type: "ports" }, noConnection);
  expect(again.ports.some((found) => found.port === client.localPort)).toBe(false);
  client.destroy();
});

test.each([
  ["0100007F", "127.0.0.1"],
  ["00000000", "0.0.0.0"],
  ["00000000000000000000000000000000", "::"],
  ["00000000000000000000000001000000", "::1"],
  ["B80D0120000000000000000001000000", "2001:db8::1"],
])("the kernel's %s is %s", (hex, address) => {
  expect(parseAddress(hex)).toBe(address);
});
