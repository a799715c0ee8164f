import { once } from "node:events";
import { type IncomingMessage, createServer, request } from "node:http";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { InsienError, LINE_WEBSOCKET_PROTOCOL } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket, createWebSocketStream } from "ws";
import type { LineDoor } from "../src/ws/line-door.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

const TOKEN = "token-of-m1";

/** Lets in the one machine whose token is known. */
class LineDoorDouble implements LineDoor {
  readonly accepted: { machineId: string; stream: Duplex }[] = [];

  async accept(machineId: string, token: string, stream: Duplex): Promise<void> {
    if (token !== TOKEN) throw new InsienError("unauthorized", "This token opens no line here");
    this.accepted.push({ machineId, stream });
  }
}

let door: LineDoorDouble;
let fixture: HttpFixture;
beforeEach(async () => {
  door = new LineDoorDouble();
  fixture = await startHttpFixture({ lineDoor: door });
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

const dial = (base: string, token: string | undefined) =>
  new WebSocket(`${base}/line/machine1`, LINE_WEBSOCKET_PROTOCOL, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });

test("an agent that dials by WebSocket is handed over as a byte stream, on both ports", async () => {
  for (const base of [fixture.url.replace("http", "ws"), fixture.webSocketUrl]) {
    const socket = dial(base, TOKEN);
    await once(socket, "open");
    expect(socket.protocol).toBe(LINE_WEBSOCKET_PROTOCOL);
    // The roles turn round: the dialler serves HTTP on what it dialled.
    const agent = createServer((asked, answer) => void echoBody(asked, answer));
    agent.emit("connection", createWebSocketStream(socket));
    const line = await waitFor(() => door.accepted.pop(), { describe: "the line" });
    expect(line.machineId).toBe("machine1");

    const body = "x".repeat(3 * 1024 * 1024);
    const toAgent = request({
      method: "POST",
      path: "/hello",
      createConnection: () => line.stream,
    });
    toAgent.end(body);
    const [response] = (await once(toAgent, "response")) as [IncomingMessage];
    expect(await text(response)).toBe(`/hello ${body}`);
    socket.terminate();
  }
});

test("a wrong token is told so and let go", async () => {
  const socket = dial(fixture.webSocketUrl, "guess");
  const [code, reason] = await once(socket, "close");
  expect([code, JSON.parse(String(reason))]).toMatchObject([1008, { code: "unauthorized" }]);
  expect(door.accepted).toHaveLength(0);
});

test("without a token there is no WebSocket at all", async () => {
  const socket = dial(fixture.webSocketUrl, undefined);
  const [, response] = await once(socket, "unexpected-response");
  expect(response.statusCode).toBe(401);
});

test("the server's close ends the lines", async () => {
  const socket = dial(fixture.webSocketUrl, TOKEN);
  await once(socket, "open");
  const closed = once(socket, "close");
  await fixture.server.close();
  await closed;
});

async function echoBody(
  asked: IncomingMessage,
  answer: { end(text: string): void },
): Promise<void> {
  answer.end(`${asked.url} ${await text(asked)}`);
}
