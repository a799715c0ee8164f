/** Programs that misbehave, and visitors that do, at the door to ports: what is never to happen. */
import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { WEBSOCKET_KEY_PREFIX } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SessionTokens } from "../src/app/session-tokens.ts";
import { OWNER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";
import { open, visit } from "../../../tests/port-visits.ts";

const MIB = 1024 * 1024;
const headers = { "x-api-key": OWNER_KEY };

let door: HttpFixture;
let id: string;
let host: string;

beforeEach(async () => {
  door = await startHttpFixture({ limits: { portAnswerMs: 300, handshakeMs: 300 } });
  id = await door.newSandbox();
  host = `80-${id}.localhost`;
});
afterEach(() => door[Symbol.asyncDispose]());

/** A program inside that is Node's own HTTP server. */
function serve(listener: RequestListener): void {
  const server = createServer(listener);
  door.agent.onConnect = (socket) => server.emit("connection", socket);
}
/** One that says just this to whoever connects and asks. */
function say(text: string, after: (socket: Duplex) => void = (socket) => socket.end()): void {
  door.agent.onConnect = (socket) => {
    socket.once("data", () => {
      socket.write(text, "latin1");
      after(socket);
    });
  };
}
const ask = (options: Parameters<typeof visit>[1] = {}) =>
  visit(door.url, { host, headers, ...options });
const codeOf = ({ text }: { text: string }): string =>
  (JSON.parse(text) as { error: { code: string } }).error.code;

/** What comes back on a connection on which these bytes were sent. */
async function raw(bytes: string, options: { staysOpen?: true } = {}): Promise<string> {
  const socket = connect(Number(new URL(door.url).port), "127.0.0.1");
  socket.write(bytes, "latin1");
  if (options.staysOpen !== true) socket.end();
  let text = "";
  for await (const chunk of socket.setEncoding("latin1")) text += String(chunk);
  return text;
}

describe("a program", () => {
  test("that never answers is not waited for without end", async () => {
    door.agent.onConnect = () => undefined;
    expect(codeOf(await ask())).toBe("port_silent");
    await waitFor(() => door.agent.taken.every((socket) => socket.destroyed), {
      describe: "the connection to it to be closed",
    });
  });

  test("that dribbles headers is not either", async () => {
    const timers: NodeJS.Timeout[] = [];
    door.agent.onConnect = (socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      timers.push(setInterval(() => socket.write("x: y\r\n"), 20));
    };
    expect(codeOf(await ask())).toBe("port_silent");
    for (const timer of timers) clearInterval(timer);
  });

  test.each([
    ["huge headers", `HTTP/1.1 200 OK\r\nX-Huge: ${"x".repeat(100_000)}\r\n\r\n`],
    ["something else", "SSH-2.0-OpenSSH_9.6\r\n"],
    ["nothing", ""],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nabcde"],
    [
      "length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    [
      "a switch nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ],
  ])("that answers %s gets an honest page", async (_name, text) => {
    say(text);
    expect(codeOf(await ask())).toBe("port_answer_invalid");
  });

  test("cannot add an answer to its own", async () => {
    say(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    expect((await ask()).text).toBe("ok");
    say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes");
    expect((await ask()).text).toBe("yes");
  });

  test("that closes a kept connection under a request is asked again, where that does no harm", async () => {
    let asked = 0;
    door.agent.onConnect = (socket) => {
      let isUsed = false;
      socket.on("data", () => {
        asked += 1;
        if (isUsed) socket.destroy();
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        isUsed = true;
      });
    };
    expect((await ask()).text).toBe("ok");
    expect((await ask()).text).toBe("ok");
    expect([asked, door.agent.taken.length]).toEqual([3, 2]);
    expect((await ask({ method: "POST", body: "x" })).text).toBe("ok");
    expect(door.agent.taken).toHaveLength(3);
  });

  test("says itself whether it wants a body that is announced", async () => {
    const head = `POST / HTTP/1.1\r\nHost: ${host}\r\nX-API-Key: ${OWNER_KEY}\r\n`;
    const announced = `${head}Expect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n`;
    door.agent.onConnect = (socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 417 Expectation Failed\r\n\r\n"));
    };
    expect(await raw(announced, { staysOpen: true })).toMatch(/^HTTP\/1\.1 417 /);
    serve((request, response) => request.pipe(response));
    expect(await raw(`${announced}hello`, { staysOpen: true })).toMatch(
      /^HTTP\/1\.1 100 .*HTTP\/1\.1 200 .*hello/s,
    );
  });

  test("that breaks off is seen to break off", async () => {
    say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", (socket) => socket.destroy());
    await expect(ask()).rejects.toThrow(/aborted|hang up/);
  });

  test("sees no credential of ours, and no word of a proxy that there is not", async () => {
    let seen: NodeJS.Dict<string | string[]> = {};
    serve((request, response) => {
      seen = { ...request.headers, url: request.url };
      response.end();
    });
    await ask({
      path: "/?a=1&insien_token=nonsense&b=2&%69nsien_token=more",
      headers: {
        ...headers,
        "x-insien-token": "nonsense",
        "x-insien-node": "node1",
        cookie: "own=1; insien_port=secret",
        authorization: `Bearer ${OWNER_KEY}`,
        referer: "http://a/?insien_token=secret",
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-host": "evil.example",
        "x-real-ip": "6.6.6.6",
        forwarded: "for=6.6.6.6",
        "x-hop": "1",
        connection: "x-hop",
        te: "trailers",
        "proxy-authorization": "x",
      },
    });
    expect(seen).toMatchObject({ url: "/?a=1&b=2", cookie: "own=1", host });
    expect(seen["x-forwarded-for"]).toBe("127.0.0.1");
    expect(seen["x-forwarded-host"]).toBe(host);
    const names = Object.keys(seen);
    for (const name of [
      "x-api-key",
      "x-insien-token",
      "x-insien-node",
      "authorization",
      "referer",
      "forwarded",
      "x-real-ip",
      "x-hop",
      "te",
      "proxy-authorization",
    ]) {
      expect(names).not.toContain(name);
    }
    expect(JSON.stringify(seen)).not.toMatch(/secret|nonsense|6\.6\.6\.6/);
  });

  test("sees neither a person's token nor a key of any form, and keeps its own", async () => {
    let seen: NodeJS.Dict<string | string[]> = {};
    serve((request, response) => {
      seen = { ...request.headers, url: request.url };
      response.end();
    });
    const access = await new SessionTokens("a secret").access({ userId: "u1", sessionId: "s1" });
    door.application.configureKey("correct-horse");
    for (const text of [access, "correct-horse", OWNER_KEY, "insien_of_nobody"]) {
      const query = `api_key=${text}`;
      await ask({
        path: `/?a=1&${query}&%61pi_key=${text}`,
        headers: {
          ...headers,
          authorization: `bearer  ${text}`,
          referer: `http://a/?${query}`,
          "sec-websocket-protocol": `chat, ${WEBSOCKET_KEY_PREFIX}${text}`,
        },
      });
      expect(seen).toMatchObject({ url: "/?a=1", "sec-websocket-protocol": "chat" });
      expect(JSON.stringify(seen)).not.toContain(text);
    }
    const own = { authorization: "Bearer own", referer: "http://a/?api_key=own" };
    await ask({ path: "/?api_key=own", headers: { ...headers, ...own } });
    expect(seen).toMatchObject({ ...own, url: "/?api_key=own" });
  });

  test("is no way to guess keys", async () => {
    serve((_request, response) => response.end());
    await using narrow = await startHttpFixture({ limits: { programTokensPerMinute: 2 } });
    narrow.agent.onConnect = door.agent.onConnect;
    const name = `80-${await narrow.newSandbox()}.localhost`;
    const guess = async (text: string) =>
      visit(narrow.url, { host: name, headers: { ...headers, authorization: `Bearer ${text}` } });
    for (const text of ["one", "two", "one"]) expect((await guess(text)).status).toBe(200);
    expect((await guess("three")).status).toBe(429);
    expect((await guess("two")).status).toBe(200);
  });

  test("says nothing to others in its visitor's browser", async () => {
    serve((_request, response) => {
      response.setHeader("set-cookie", ["a=1; Domain=localhost", "insien_port=stolen"]);
      response.setHeader("clear-site-data", '"*"');
      response.setHeader("strict-transport-security", "max-age=9; includeSubDomains");
      response.setHeader("alt-svc", 'h2="evil.example:443"');
      response.setHeader("content-security-policy", "default-src *");
      response.setHeader("service-worker-allowed", "/");
      response.end("x");
    });
    const byName = await ask();
    expect(byName.headers["set-cookie"]).toEqual(["a=1"]);
    const names = [
      "clear-site-data",
      "strict-transport-security",
      "alt-svc",
      "service-worker-allowed",
    ];
    const byPath = await visit(door.url, { path: `/preview/${id}/80/`, headers });
    for (const name of names) {
      expect([byName.headers[name], byPath.headers[name]]).toEqual([undefined, undefined]);
    }
    expect(byPath.headers["content-security-policy"]).toContain("default-src *");
    expect(byPath.headers["content-security-policy"]).toMatch(/sandbox allow-scripts/);
    const worker = { ...headers, "service-worker": "script" };
    const refused = await visit(door.url, { path: `/preview/${id}/80/sw.js`, headers: worker });
    expect(refused.status).toBe(403);
  });

  test("that sends without end stops when its visitor leaves", async () => {
    let sent = 0;
    let isClosed = false;
    serve((_request, response) => {
      const more = () => {
        do sent += MIB;
        while (!isClosed && response.write(Buffer.alloc(MIB)));
      };
      response.on("drain", more).once("close", () => (isClosed = true));
      more();
    });
    const answer = await open(door.url, { host, headers });
    await once(answer, "data");
    answer.destroy();
    await waitFor(() => isClosed, { describe: "the program's connection to be closed" });
    expect(sent).toBeLessThan(64 * MIB);
  });

  test("whose reader is slow waits for it", async () => {
    let sent = 0;
    serve((_request, response) => {
      const more = () => {
        while (sent < 256 * MIB) {
          sent += MIB;
          if (!response.write(Buffer.alloc(MIB))) return;
        }
        response.end();
      };
      response.on("drain", more);
      more();
    });
    const answer = await open(door.url, { host, headers });
    let before = -1;
    await waitFor(
      () => {
        const isStill = sent === before;
        before = sent;
        return isStill;
      },
      { describe: "the program to be held back", intervalMs: 200 },
    );
    expect(sent).toBeLessThan(64 * MIB);
    answer.destroy();
  });
});

describe("a visitor", () => {
  beforeEach(() => serve((request, response) => request.pipe(response)));
  const key = `X-API-Key: ${OWNER_KEY}\r\n`;

  test.each([
    ["length and chunks", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /b"],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"],
    ["chunks by another name", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"],
    ["chunks twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"],
    ["a space before the colon", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"],
    ["a folded header", "X: a\r\n b: c\r\nContent-Length : 1\r\n", "x"],
  ])("with %s is refused before the program hears of it", async (_name, framing, body) => {
    const text = await raw(`POST / HTTP/1.1\r\nHost: ${host}\r\n${key}${framing}\r\n${body}`);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(door.agent.taken).toHaveLength(0);
  });

  test.each([
    ["two hosts", `GET / HTTP/1.1\r\nHost: ${"HOST"}\r\nHost: localhost\r\n`],
    ["a host in the address", `GET http://localhost/health HTTP/1.1\r\nHost: ${"HOST"}\r\n`],
    ["no address", `OPTIONS * HTTP/1.1\r\nHost: ${"HOST"}\r\n`],
  ])("with %s is refused", async (_name, head) => {
    const text = await raw(`${head.replace("HOST", host)}${key}Connection: close\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("finds no API under a sandbox's name, and no sandbox under the API's", async () => {
    serve((_request, response) => response.end("the program"));
    for (const path of ["/health", "/api/v1/sandboxes", "/docs", "/openapi.json"]) {
      expect((await ask({ path })).text).toBe("the program");
      expect((await ask({ path, headers: {} })).status).toBe(401);
    }
    expect((await visit(door.url, { path: "/health" })).text).toContain("database");
    const path = `/preview/../preview/${id}/80/`;
    expect((await visit(door.url, { path, headers })).status).toBe(401);
  });

  test("learns nothing of ids, names and ports that are not theirs", async () => {
    await door.application.ports.add(
      { keyId: "key1", ownerId: "owner1", admin: true },
      id as never,
      { internal: 80, subdomain: "secret-shop" },
    );
    const shown = async (name: string, path = "/") => {
      const { status, text, headers: answered } = await visit(door.url, { host: name, path });
      const { "x-request-id": _, date: __, ...others } = answered;
      return JSON.stringify([status, text.replaceAll(/"requestId":"[^"]*"/g, ""), others]);
    };
    const refused = await shown(host);
    expect(refused).toContain("port_link_invalid");
    const others = [
      `80-${"z".repeat(20)}.localhost`,
      "secret-shop.localhost",
      "no-shop.localhost",
      "a.b.localhost",
    ];
    for (const other of others) expect(await shown(other), other).toBe(refused);
    for (const there of [id, "z".repeat(20), "..", "%2e"]) {
      expect(await shown("localhost", `/preview/${there}/80/`), there).toBe(refused);
    }
  });

  test("cannot be made to act by a page of another sandbox", async () => {
    const owner = { keyId: "key1", ownerId: "owner1", admin: true };
    const { token } = await door.application.ports.link(owner, id as never, 80, {});
    const cookie = `insien_port=${token}`;
    const status = async (more: Record<string, string>, method = "GET") =>
      (await ask({ method, headers: { cookie, ...more } })).status;
    expect(await status({})).toBe(200);
    expect(await status({ origin: `http://${host}`, "sec-fetch-site": "same-origin" })).toBe(200);
    expect(await status({ "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate" })).toBe(200);
    const evil = { origin: "http://81-evil.localhost", "sec-fetch-site": "same-site" };
    expect(await status(evil)).toBe(401);
    expect(await status({ ...evil, "sec-fetch-mode": "navigate" }, "POST")).toBe(401);
    expect(await status({ "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors" })).toBe(401);
  });

  test("with a link is sent to the address without it, on the same host", async () => {
    const owner = { keyId: "key1", ownerId: "owner1", admin: true };
    const { token } = await door.application.ports.link(owner, id as never, 80, {});
    const accept = { accept: "text/html" };
    const first = await ask({ path: `//evil.example/?insien_token=${token}`, headers: accept });
    expect([first.status, first.headers.location]).toEqual([303, "/.//evil.example/"]);
    expect(first.headers["set-cookie"]?.[0]).toMatch(
      /^insien_port=p1\..*; HttpOnly; SameSite=Lax$/,
    );
    const stolen = { ...accept, cookie: `insien_port=${token}` };
    expect((await ask({ host: `81-${id}.localhost`, headers: stolen })).status).toBe(401);
    const other = await door.newSandbox();
    expect((await ask({ host: `80-${other}.localhost`, headers: stolen })).status).toBe(401);
    expect((await ask({ path: `/?insien_token=${token}x`, headers: accept })).status).toBe(401);
  });

  test.each(["is closed to the public again", "is taken back"])(
    "ends, with all that goes on, when the port %s",
    async (how) => {
      const owner = { keyId: "key1", ownerId: "owner1", admin: true };
      const { ports } = door.application;
      await ports.serve(door.server.externalPorts);
      await ports.add(owner, id as never, { internal: 80, public: true });
      const program = createServer((request, response) => {
        // As older servers answer: without a length, to the end of the connection.
        if (request.url === "/old") response.useChunkedEncodingByDefault = false;
        response.write("first");
      });
      program.on("upgrade", (_request, socket: Duplex) => {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
      });
      door.agent.onConnect = (socket) => program.emit("connection", socket);
      const path = `/preview/${id}/80/`;
      const events = await open(door.url, { path });
      const old = await open(door.url, { path: `${path}old` });
      const broken = Promise.all([once(events, "error"), once(old, "error")]);
      events.resume();
      old.resume();
      const handshake = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
      const socket = connect(Number(new URL(door.url).port), "127.0.0.1");
      socket.write(
        `${handshake}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
      );
      let joined = "";
      socket.setEncoding("latin1").on("data", (text: string) => (joined += text));
      await waitFor(() => joined.includes("101 Switching"), {
        describe: "the WebSocket to be open",
      });
      const closed = once(socket, "close");
      if (how === "is taken back") await ports.remove(owner, id as never, 80);
      else await ports.change(owner, id as never, 80, { public: false });
      await Promise.all([broken, closed]);
      expect((await visit(door.url, { path })).status).toBe(401);
    },
  );

  test("by a stranger's name for this server finds no public port", async () => {
    const owner = { keyId: "key1", ownerId: "owner1", admin: true };
    await door.application.ports.add(owner, id as never, { internal: 80, public: true });
    const path = `/preview/${id}/80/`;
    expect((await visit(door.url, { path })).status).toBe(200);
    expect((await visit(door.url, { path, host: "evil.example" })).status).toBe(401);
  });
});
