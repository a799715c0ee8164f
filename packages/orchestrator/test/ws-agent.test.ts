import { once } from "node:events";
import { connect } from "node:net";
import { WEBSOCKET_KEY_PREFIX, WEBSOCKET_PROTOCOL } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { OWNER_KEY, STRANGER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
let id: string;
beforeEach(async () => {
  fixture = await startHttpFixture();
  id = await fixture.newSandbox();
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

const mainUrl = () => fixture.url.replace("http", "ws");
const withKey = (key = OWNER_KEY) => ({ headers: { "x-api-key": key } });

async function opened(socket: WebSocket): Promise<WebSocket> {
  await once(socket, "open");
  return socket;
}

async function echoed(socket: WebSocket, data: string | Buffer): Promise<string> {
  socket.send(data);
  const [answer] = await once(socket, "message");
  return String(answer);
}

/** Status and body of an upgrade that is refused. */
async function refusal(
  socket: WebSocket,
): Promise<{ status: number; body: Record<string, never> }> {
  const [request, response] = await once(socket, "unexpected-response");
  let text = "";
  for await (const chunk of response) text += String(chunk);
  request.destroy();
  return { status: response.statusCode, body: JSON.parse(text) };
}

async function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = await once(socket, "close");
  return { code, reason: String(reason) };
}

/** An upgrade written by hand, with `more` in the same packet, and all that comes back. */
function rawUpgrade(more: Buffer) {
  const socket = connect(Number(new URL(fixture.url).port), "127.0.0.1");
  const lines = [
    `GET /agent/${id} HTTP/1.1`,
    "Host: x",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    `X-API-Key: ${OWNER_KEY}`,
  ];
  socket.write(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), more]));
  let received = Buffer.alloc(0);
  socket.on("data", (chunk) => (received = Buffer.concat([received, chunk])));
  return { socket, received: () => received };
}

describe("a WebSocket to an agent", () => {
  test("reaches /rpc on both ports, without the client's credentials", async () => {
    for (const base of [mainUrl(), fixture.webSocketUrl]) {
      const socket = await opened(new WebSocket(`${base}/agent/${id}?api_key=nope`, withKey()));
      expect(await echoed(socket, "hello")).toBe("hello");
      expect(socket.extensions).toBe("");
      socket.close();
      await once(socket, "close");
    }
    for (const { url, headers } of fixture.agent.seen) {
      expect(url).toBe("/rpc");
      expect(headers["x-api-key"]).toBeUndefined();
      expect(headers["sec-websocket-extensions"]).toBeUndefined();
    }
    expect(fixture.agent.seen).toHaveLength(2);
  });

  test("reaches a port's stream", async () => {
    const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}/ports/8080`, withKey()));
    expect(await echoed(socket, Buffer.from("bytes"))).toBe("bytes");
    expect(fixture.agent.seen[0]?.url).toBe("/ports/8080");
    socket.close();
  });

  test("takes the key from a subprotocol or the query, as browsers must send it", async () => {
    const offers = [WEBSOCKET_PROTOCOL, `${WEBSOCKET_KEY_PREFIX}${OWNER_KEY}`];
    const both = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, offers));
    expect(both.protocol).toBe(WEBSOCKET_PROTOCOL);
    expect(fixture.agent.seen[0]?.headers["sec-websocket-protocol"]).toBe(WEBSOCKET_PROTOCOL);
    both.close();

    const keyOnly = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, offers.slice(1)));
    expect(keyOnly.protocol).toBe(offers[1]);
    expect(fixture.agent.seen[1]?.headers["sec-websocket-protocol"]).toBeUndefined();
    keyOnly.close();

    const query = await opened(new WebSocket(`${mainUrl()}/agent/${id}?api_key=${OWNER_KEY}`));
    expect(await echoed(query, "x")).toBe("x");
    query.close();

    const bearer = { headers: { authorization: `Bearer ${OWNER_KEY}` } };
    (await opened(new WebSocket(`${mainUrl()}/agent/${id}`, bearer))).close();
  });

  test("passes on what arrives in the same packet as the upgrade", async () => {
    // A masked text frame with an all-zero mask: "hi".
    const client = rawUpgrade(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    await waitFor(() => client.received().includes("\x81\x02hi", 0, "latin1"), {
      describe: "the echo of the early frame",
      timeoutMs: 3_000,
    });
    expect(String(client.received())).toMatch(/^HTTP\/1.1 101 /);
    client.socket.destroy();
  });

  test("a client that leaves frees the agent's connection", async () => {
    const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, withKey()));
    socket.terminate();
    await waitFor(() => fixture.agent.taken[0]?.destroyed, { describe: "the line to be let go" });
  });
});

describe("an upgrade is refused", () => {
  const cases: [
    name: string,
    path: () => string,
    key: string | undefined,
    status: number,
    code: string,
  ][] = [
    ["without a key", () => `/agent/${id}`, undefined, 401, "unauthorized"],
    ["with a wrong key", () => `/agent/${id}`, "wrong", 401, "unauthorized"],
    ["for a stranger", () => `/agent/${id}`, STRANGER_KEY, 404, "sandbox_not_found"],
    ["for no such sandbox", () => "/agent/nosuchsandbox", OWNER_KEY, 404, "sandbox_not_found"],
    ["for an id that is none", () => "/agent/No%20Id", OWNER_KEY, 400, "invalid_request"],
    [
      "for a port that is none",
      () => `/agent/${id}/ports/70000`,
      OWNER_KEY,
      400,
      "invalid_request",
    ],
    ["at another path", () => "/agents", OWNER_KEY, 404, "route_not_found"],
    [
      "at the line's door when there is none",
      () => "/line/m1m1",
      OWNER_KEY,
      404,
      "route_not_found",
    ],
  ];
  test.each(cases)("%s, on both ports", async (...[, path, key, status, code]) => {
    for (const base of [mainUrl(), fixture.webSocketUrl]) {
      const headers = key === undefined ? {} : { "x-api-key": key };
      const refused = await refusal(new WebSocket(`${base}${path()}`, { headers }));
      expect(refused).toMatchObject({
        status,
        body: { error: { code, requestId: expect.any(String) } },
      });
    }
  });

  test("with the agent's own reason", async () => {
    fixture.agent.onUpgrade = (socket) => {
      const body = JSON.stringify({
        error: { code: "port_not_listening", message: "Nothing listens on 81" },
      });
      socket.end(`HTTP/1.1 502 Bad Gateway\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      return true;
    };
    const refused = await refusal(new WebSocket(`${mainUrl()}/agent/${id}/ports/81`, withKey()));
    expect(refused).toMatchObject({
      status: 502,
      body: { error: { code: "port_not_listening", message: "Nothing listens on 81" } },
    });
  });

  test("when the sandbox does not run, or its agent does not answer in time", async () => {
    await using impatient = await startHttpFixture({ limits: { handshakeMs: 50 } });
    const sandbox = await impatient.newSandbox();
    const url = `${impatient.webSocketUrl}/agent/${sandbox}`;
    impatient.agent.onUpgrade = () => true;
    expect(await refusal(new WebSocket(url, withKey()))).toMatchObject({
      status: 503,
      body: { error: { code: "agent_unreachable" } },
    });
    await impatient.send("POST", `/api/v1/sandboxes/${sandbox}/stop`);
    expect((await refusal(new WebSocket(url, withKey()))).status).toBe(409);
  });

  test("as a plain request: 426 at WebSocket addresses, 404 elsewhere", async () => {
    const plainSecond = fixture.webSocketUrl.replace("ws", "http");
    expect((await fetch(`${plainSecond}/agent/${id}`)).status).toBe(426);
    const elsewhere = await fetch(`${plainSecond}/api/v1/sandboxes`);
    expect(elsewhere.status).toBe(404);
    expect(await elsewhere.json()).toMatchObject({ error: { code: "route_not_found" } });
    const main = await fixture.send("GET", `/agent/${id}`);
    expect([main.status, main.headers.get("upgrade")]).toEqual([426, "websocket"]);
  });

  test("a request for h2c is answered as the plain request it also is", async () => {
    const headers = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "" };
    const socket = connect(Number(new URL(fixture.url).port), "127.0.0.1");
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET /health HTTP/1.1\r\nHost: x\r\n${lines.join("")}\r\n`);
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    socket.destroy();
  });
});

describe("when the agent's side ends", () => {
  test("a lost machine closes with 1011 and the reason, at once", async () => {
    const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, withKey()));
    const closed = closing(socket);
    fixture.agent.lose();
    const { code, reason } = await closed;
    expect(code).toBe(1011);
    expect(JSON.parse(reason)).toEqual({
      code: "machine_lost",
      message: "The machine was killed: out of memory",
    });
  });

  test("a broken line closes with 1011 and connection_lost", async () => {
    const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, withKey()));
    const closed = closing(socket);
    fixture.agent.kill();
    const { code, reason } = await closed;
    expect([code, JSON.parse(reason)]).toMatchObject([1011, { code: "connection_lost" }]);
  });

  test("an orderly close keeps the agent's own code", async () => {
    fixture.agent.onWebSocket = (agentSide) => agentSide.close(4001, "enough");
    const socket = new WebSocket(`${mainUrl()}/agent/${id}`, withKey());
    expect(await closing(socket)).toEqual({ code: 4001, reason: "enough" });
  });

  test("in the middle of a frame the socket just ends, with no bytes added to it", async () => {
    // A frame of 100 bytes of which only one comes.
    const begun = Buffer.from([0x82, 100, 1]);
    fixture.agent.onWebSocket = (agentSide) => fixture.agent.rawSocketOf(agentSide).write(begun);
    const client = rawUpgrade(Buffer.alloc(0));
    await waitFor(() => client.received().includes(begun), { describe: "the begun frame" });
    const closed = once(client.socket, "close");
    fixture.agent.lose();
    await closed;
    expect(client.received().subarray(-3)).toEqual(begun);
  });

  test("a long reason is cut to what a close frame holds", async () => {
    const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, withKey()));
    const closed = closing(socket);
    fixture.agent.lose('ü"'.repeat(500));
    const { reason } = await closed;
    expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123);
    expect(JSON.parse(reason).message).toMatch(/^ü".*…$/);
  });
});

test("the server's close tells clients and is done within its bound", async () => {
  const socket = await opened(new WebSocket(`${mainUrl()}/agent/${id}`, withKey()));
  const closed = closing(socket);
  await fixture.server.close();
  expect((await closed).code).toBe(1012);
});

test("many frames of many sizes arrive whole, both ways", async () => {
  const socket = await opened(new WebSocket(`${fixture.webSocketUrl}/agent/${id}`, withKey()));
  const sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 300_000, 5, 1_000_000];
  const received: Buffer[] = [];
  socket.on("message", (data: Buffer) => received.push(data));
  for (const [index, size] of sizes.entries()) socket.send(Buffer.alloc(size, index));
  await waitFor(() => received.length === sizes.length, { describe: "all echoes" });
  expect(received.map((each) => each.length)).toEqual(sizes);
  const closed = closing(socket);
  fixture.agent.lose();
  expect((await closed).code).toBe(1011);
});

test("a slow reader slows the writer: 512 MiB through the splice with flat memory", async () => {
  const total = 512 * 1024 * 1024;
  const piece = Buffer.alloc(256 * 1024, 7);
  let sent = 0;
  fixture.agent.onWebSocket = (agentSide) => {
    const sendNext = () => {
      if (sent >= total) return;
      sent += piece.length;
      agentSide.send(piece, sendNext);
    };
    sendNext();
  };
  const socket = await opened(new WebSocket(`${fixture.webSocketUrl}/agent/${id}`, withKey()));
  socket.pause();
  let last = -1;
  await waitFor(
    () => {
      const stalled = sent === last && sent > 0;
      last = sent;
      return stalled;
    },
    { intervalMs: 200, describe: "the writer to be held" },
  );
  expect(sent).toBeLessThan(32 * 1024 * 1024);
  const before = process.memoryUsage().rss;
  let received = 0;
  let peak = before;
  socket.on("message", (data: Buffer) => {
    received += data.length;
    peak = Math.max(peak, process.memoryUsage().rss);
  });
  const startedMs = performance.now();
  socket.resume();
  await waitFor(() => received === total, { timeoutMs: 15_000, describe: "all of it" });
  const rate = total / 1024 / 1024 / ((performance.now() - startedMs) / 1000);
  console.info(`splice: ${Math.round(rate)} MiB/s, memory grew ${(peak - before) >> 20} MiB`);
  expect(peak - before).toBeLessThan(total / 2);
  socket.terminate();
});
