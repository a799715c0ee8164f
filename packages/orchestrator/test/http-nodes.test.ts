/** Requests about a sandbox of another node: two servers, of which one knows that the other has it. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { connect, createServer } from "node:net";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { OWNER_KEY, STRANGER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

const MIB = 1024 * 1024;
const withKey = { "x-api-key": OWNER_KEY };

/** Has the sandbox. */
let holder: HttpFixture;
/** Is asked. */
let asked: HttpFixture;
let id: string;

beforeEach(async () => {
  holder = await startHttpFixture();
  asked = await startHttpFixture();
  holder.application.nodes.id = "holder-node";
  asked.application.nodes.id = "asked-node";
  asked.application.nodes.place = { nodeId: "holder-node", url: holder.url };
  id = await holder.newSandbox();
});
afterEach(async () => {
  await asked[Symbol.asyncDispose]();
  await holder[Symbol.asyncDispose]();
});

const sandboxUrl = (rest = "") => `${asked.url}/api/v1/sandboxes/${id}${rest}`;

async function closing(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = await once(socket, "close");
  return { code, reason: String(reason) };
}

async function refusal(socket: WebSocket): Promise<{ status: number; body: string }> {
  const [request, response] = (await once(socket, "unexpected-response")) as [
    { destroy(): void },
    IncomingMessage,
  ];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  request.destroy();
  return { status: response.statusCode ?? 0, body };
}

describe("a plain request", () => {
  test("is answered by the holder, with the names and headers of the node that was asked", async () => {
    const answer = await asked.send("POST", `/api/v1/sandboxes/${id}/exec`, {
      body: { cmd: "echo", args: ["a"] },
      headers: { origin: "https://page.example", "x-request-id": "its-own-id" },
    });
    expect([answer.status, answer.body["stdout"]]).toEqual([200, "echo a\n"]);
    expect(answer.headers.get("x-request-id")).toBe("its-own-id");
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(holder.logged()).toContain("its-own-id");

    const extended = await asked.send("POST", `/api/v1/sandboxes/${id}/timeout`, {
      body: { ttl_seconds: 60 },
    });
    const port = new URL(asked.webSocketUrl).port;
    expect(extended.body["agent_url"]).toBe(`ws://127.0.0.1:${port}/agent/${id}`);
  });

  test("is refused by the holder as it would be by this node", async () => {
    const invalid = await asked.send("POST", `/api/v1/sandboxes/${id}/exec`, { body: { cmd: 7 } });
    expect([invalid.status, invalid.body.error.code]).toEqual([400, "invalid_request"]);
    const strange = await asked.send("POST", `/api/v1/sandboxes/${id}/stop`, { key: STRANGER_KEY });
    expect([strange.status, strange.body.error.code]).toEqual([404, "sandbox_not_found"]);
    const unknown = await asked.send("POST", `/api/v1/sandboxes/${id}/stop`, { key: "wrong-key" });
    expect(unknown.status).toBe(401);
    expect(holder.logged()).not.toContain("wrong-key");
  });

  test("streams: output as it comes, files of any size both ways, ranges and heads", async () => {
    const content = randomBytes(32 * MIB);
    const put = await fetch(sandboxUrl("/files?path=big"), {
      method: "PUT",
      headers: withKey,
      // Without a length, as from a pipe.
      body: new Blob([content]).stream(),
      duplex: "half",
    });
    expect(await put.json()).toMatchObject({ size: content.length });
    const down = await fetch(sandboxUrl("/files?path=big"), { headers: withKey });
    const digest = createHash("sha256");
    for await (const chunk of down.body ?? []) digest.update(chunk);
    expect(digest.digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
    expect(down.headers.get("content-length")).toBe(String(content.length));

    const range = { ...withKey, range: "bytes=3-6" };
    const part = await fetch(sandboxUrl("/files?path=big"), { headers: range });
    expect([part.status, part.headers.get("content-range")]).toEqual([
      206,
      `bytes 3-6/${content.length}`,
    ]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(content.subarray(3, 7));
    const head = await fetch(sandboxUrl("/files?path=big"), { method: "HEAD", headers: withKey });
    expect([head.status, head.headers.get("content-length")]).toEqual([
      200,
      String(content.length),
    ]);
    const missing = await asked.send("GET", `/api/v1/sandboxes/${id}/files?path=none`);
    expect([missing.status, missing.body.error.code]).toEqual([404, "file_not_found"]);
  });

  test("ends at the holder when its client leaves", async () => {
    holder.agent.onRequest = () => true;
    const gone = new AbortController();
    const waiting = fetch(sandboxUrl("/files?path=a"), { headers: withKey, signal: gone.signal });
    await waitFor(() => holder.agent.seen.length === 1, { describe: "the agent to be asked" });
    const [line] = holder.agent.taken;
    gone.abort();
    await expect(waiting).rejects.toThrow();
    await waitFor(() => line?.destroyed === true, { describe: "the line to be let go" });
  });

  test("that breaks on the way is told so, and one cut short is not taken for whole", async () => {
    holder.agent.onRequest = (request) => {
      request.socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nonly this");
      return true;
    };
    const cut = await fetch(sandboxUrl("/files?path=a"), { headers: withKey });
    holder.agent.kill();
    await expect(cut.text()).rejects.toThrow();
  });

  test("goes to the node and nowhere else, whatever host its first line names", async () => {
    const socket = connect(Number(new URL(asked.url).port), "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => (text += String(chunk)));
    const target = `http://198.51.100.1:9/api/v1/sandboxes/${id}/stop`;
    socket.write(
      `POST ${target} HTTP/1.1\r\nhost: x\r\nx-api-key: ${OWNER_KEY}\r\nconnection: close\r\n\r\n`,
    );
    await once(socket, "close");
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(text).toContain('"state":"stopped"');
  });

  test("that the database can answer is not passed on", async () => {
    asked.application.stored.set(id, (await ofHolder()) as never);
    expect((await asked.send("GET", `/api/v1/sandboxes/${id}`)).status).toBe(200);
    expect((await asked.send("GET", `/api/v1/sandboxes/${id}/events`)).status).toBe(200);
    expect((await asked.send("GET", "/api/v1/sandboxes")).status).toBe(200);
    expect(holder.logged()).not.toContain(`"method":"GET"`);
  });

  const ofHolder = async () => holder.application.stored.get(id);
});

describe("a WebSocket", () => {
  test("is spliced through both nodes, on both doors, with its key in any place", async () => {
    for (const base of [asked.url.replace("http", "ws"), asked.webSocketUrl]) {
      for (const dial of [
        () => new WebSocket(`${base}/agent/${id}`, { headers: withKey }),
        () => new WebSocket(`${base}/agent/${id}?api_key=${OWNER_KEY}`),
        () => new WebSocket(`${base}/agent/${id}/ports/80`, ["b.a", `insien.key.${OWNER_KEY}`]),
      ]) {
        const socket = dial();
        await once(socket, "open");
        const data = randomBytes(MIB);
        socket.send(data);
        expect((await once(socket, "message"))[0]).toEqual(data);
        socket.close();
        expect((await closing(socket)).code).toBe(1005);
      }
    }
    const urls = holder.agent.seen.map(({ url }) => url);
    expect(new Set(urls)).toEqual(new Set(["/rpc", "/ports/80"]));
    for (const { headers } of holder.agent.seen) {
      expect(Object.keys(headers).filter((name) => name.startsWith("x-"))).toEqual([]);
    }
  });

  test("is refused with the holder's reason", async () => {
    const none = new WebSocket(`${asked.webSocketUrl}/agent/nosuchsandbox`, { headers: withKey });
    const { status, body } = await refusal(none);
    expect([status, JSON.parse(body).error.code]).toEqual([404, "sandbox_not_found"]);
  });

  test("is told when the holder goes away, and closed well when it stops", async () => {
    const socket = new WebSocket(`${asked.webSocketUrl}/agent/${id}`, { headers: withKey });
    await once(socket, "open");
    const ended = closing(socket);
    await holder.server.close();
    expect(await ended).toMatchObject({ code: 1012, reason: expect.stringContaining("stopping") });
  });
});

describe("a node that does not answer", () => {
  beforeEach(async () => {
    // A port that was somebody's a moment ago refuses connections.
    const former = createServer();
    await new Promise<void>((resolve) => former.listen(0, "127.0.0.1", resolve));
    const { port } = former.address() as { port: number };
    asked.application.nodes.place = { nodeId: "holder-node", url: `http://127.0.0.1:${port}` };
    await new Promise((resolve) => former.close(resolve));
  });

  const exec = () => asked.send("POST", `/api/v1/sandboxes/${id}/exec`, { body: { cmd: "true" } });
  const expected = `Sandbox ID runs on node holder-n, which does not answer`;

  test("or gives no sign of life is named in a retryable error", async () => {
    for (const url of [asked.application.nodes.place?.url, undefined]) {
      asked.application.nodes.place = { nodeId: "holder-node", url };
      const { status, body } = await exec();
      expect([status, body.error.code]).toEqual([503, "agent_unreachable"]);
      expect(body.error.message).toBe(expected.replace("ID", id));
      expect(body.error["retryable" as never]).toBe(true);
      const socket = new WebSocket(`${asked.webSocketUrl}/agent/${id}`, { headers: withKey });
      const refused = await refusal(socket);
      expect([refused.status, JSON.parse(refused.body).error.code]).toEqual([
        503,
        "agent_unreachable",
      ]);
    }
  });

  test("is answered for, where the wish alone counts: its sandbox is to be destroyed", async () => {
    const sandbox = holder.application.stored.get(id);
    if (sandbox === undefined) throw new Error("no sandbox");
    asked.application.stored.set(id, { ...sandbox });
    const answer = await asked.send("POST", `/sandbox/${id}/destroy`, { body: {} });
    expect([answer.status, answer.body["success"]]).toEqual([200, true]);
    expect(asked.application.stored.get(id)?.state).toBe("destroyed");
    const status = await asked.send("GET", `/sandbox/${id}/status`);
    expect([status.status, status.body["connected"]]).toEqual([200, false]);
  });
});

describe("a request that was passed on once", () => {
  test("is never passed on again, however the nodes point at each other", async () => {
    holder.application.nodes.place = { nodeId: "asked-node", url: asked.url };
    const there = await asked.send("POST", `/api/v1/sandboxes/${id}/stop`);
    expect([there.status, there.body["state"]]).toEqual([200, "stopped"]);
  });

  test("and reached the wrong node is told which setting to mend", async () => {
    asked.application.nodes.place = { nodeId: "holder-node", url: asked.url };
    const { status, body } = await asked.send("POST", `/api/v1/sandboxes/${id}/stop`);
    expect([status, body.error.code]).toEqual([503, "agent_unreachable"]);
    expect(body.error.message).toContain("its address leads to node asked-no");
    expect(body.error.message).toContain("INSIEN_NODE_URL");
  });

  test("may be refused before its body has arrived", async () => {
    const request = httpRequest(sandboxUrl("/exec"), {
      method: "POST",
      headers: { ...withKey, "content-type": "application/json", "content-length": 50 * MIB },
    });
    request.on("error", () => undefined);
    request.write(Buffer.alloc(MIB));
    const [response] = (await once(request, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    request.destroy();
  });
});
