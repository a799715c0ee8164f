import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { Writable } from "node:stream";
import { errorAnswer } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OWNER_KEY, STRANGER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
let files: string;
beforeEach(async () => {
  fixture = await startHttpFixture();
  files = `/api/v1/sandboxes/${await fixture.newSandbox()}/files`;
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

const withKey = { "x-api-key": OWNER_KEY };

test("uploads and downloads bytes of any type, with range, head and status passed through", async () => {
  const put = await fixture.send("PUT", `${files}?path=a.html&mode=755`, {
    body: "<b>0123456789</b>",
    headers: { "content-type": "text/html" },
  });
  expect([put.status, put.body["size"]]).toEqual([200, 17]);
  expect(fixture.agent.seen.at(-1)?.url).toBe("/files?path=a.html&mode=755");
  expect(fixture.agent.seen.at(-1)?.headers["x-api-key"]).toBeUndefined();

  const whole = await fetch(`${fixture.url}${files}?path=a.html`, { headers: withKey });
  expect([whole.status, await whole.text()]).toEqual([200, "<b>0123456789</b>"]);
  expect(whole.headers.get("accept-ranges")).toBe("bytes");
  expect(whole.headers.get("x-content-type-options")).toBe("nosniff");
  expect(whole.headers.get("content-security-policy")).toContain("default-src 'none'");

  const headers = { ...withKey, range: "bytes=3-6" };
  const part = await fetch(`${fixture.url}${files}?path=a.html`, { headers });
  expect([part.status, await part.text()]).toEqual([206, "0123"]);
  expect(part.headers.get("content-range")).toBe("bytes 3-6/17");

  const head = await fetch(`${fixture.url}${files}?path=a.html`, {
    method: "HEAD",
    headers: withKey,
  });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "17"]);
});

test("an empty file goes up and comes down", async () => {
  await fixture.send("PUT", `${files}?path=empty`);
  const down = await fetch(`${fixture.url}${files}?path=empty`, { headers: withKey });
  expect([down.status, await down.text()]).toEqual([200, ""]);
});

test("the agent's refusals become errors of the table, with this server's request id", async () => {
  const missing = await fixture.send("GET", `${files}?path=nothing`);
  expect(missing.status).toBe(404);
  expect(missing.body.error).toMatchObject({ code: "file_not_found" });
  expect(missing.body.error.requestId).toBe(missing.headers.get("x-request-id"));
  const head = await fixture.send("HEAD", `${files}?path=nothing`);
  expect(head.status).toBe(404);
});

test("refuses strangers, queries without a path, and sandboxes that do not run", async () => {
  expect((await fixture.send("GET", `${files}?path=x`, { key: STRANGER_KEY })).status).toBe(404);
  const none = await fixture.send("GET", files);
  expect([none.status, none.body.error.message]).toEqual([
    400,
    "path: is missing; expected string",
  ]);
  await fixture.send("POST", files.replace("/files", "/stop"));
  expect((await fixture.send("GET", `${files}?path=x`)).body.error.code).toBe("sandbox_state");
});

test("a machine lost in the middle of a download breaks it off", async () => {
  await sparseFile("big", 64 * 1024 * 1024);
  const response = await fetch(`${fixture.url}${files}?path=big`, { headers: withKey });
  const reader = response.body?.getReader();
  await reader?.read();
  fixture.agent.lose();
  const rest = (async () => {
    while ((await reader?.read())?.done === false);
  })();
  await expect(rest).rejects.toThrow();
  expect((await fixture.send("GET", `${files}?path=big`)).body.error.code).toBe("machine_lost");
});

test("a client that leaves in the middle of a download frees the agent's connection", async () => {
  await sparseFile("big", 64 * 1024 * 1024);
  const leaving = new AbortController();
  const response = await fetch(`${fixture.url}${files}?path=big`, {
    headers: withKey,
    signal: leaving.signal,
  });
  await response.body?.getReader().read();
  leaving.abort();
  await waitFor(() => fixture.agent.busy === 0, {
    describe: "the agent's connection to be let go",
  });
});

test("half a gibibyte goes up and comes down with flat memory", async () => {
  const size = 512 * 1024 * 1024;
  await sparseFile("source", size);
  const memory = watchMemory();
  const upStartedMs = performance.now();
  const status = await new Promise<number>((resolve, reject) => {
    const put = request(`${fixture.url}${files}?path=copy`, {
      method: "PUT",
      headers: { ...withKey, "content-length": size },
    });
    put.once("response", (response) => {
      response.resume();
      response.once("end", () => resolve(response.statusCode ?? 0));
    });
    put.once("error", reject);
    const source = createReadStream(fixture.agent.file("source"), { highWaterMark: 256 * 1024 });
    pipeline(source, put).catch(reject);
  });
  const upMs = performance.now() - upStartedMs;
  expect(status).toBe(200);
  expect((await stat(fixture.agent.file("copy"))).size).toBe(size);

  let received = 0;
  const downStartedMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    const get = request(`${fixture.url}${files}?path=copy`, { headers: withKey });
    get.once("response", (response) => {
      const count = new Writable({
        highWaterMark: 256 * 1024,
        write: (chunk: Buffer, _encoding, done) => {
          received += chunk.length;
          done();
        },
      });
      pipeline(response, count).then(resolve, reject);
    });
    get.once("error", reject);
    get.end();
  });
  const downMs = performance.now() - downStartedMs;
  expect(received).toBe(size);
  const grownMiB = memory.stop();
  const rate = (ms: number) => Math.round(512 / (ms / 1_000));
  console.info(`files: up ${rate(upMs)} MiB/s, down ${rate(downMs)} MiB/s, grew ${grownMiB} MiB`);
  // Client and agent run in this process too; held back bytes would show as hundreds.
  expect(grownMiB).toBeLessThan(256);
}, 60_000);

describe("an agent that does not keep to HTTP", () => {
  const answerWith = (text: string) => {
    fixture.agent.onRequest = (asked) => {
      asked.socket.end(text);
      return true;
    };
  };
  const get = () => fetch(`${fixture.url}${files}?path=x`, { headers: withKey });

  test("cannot put an answer of its own after a file", async () => {
    const forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    answerWith(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nreal${forged}`);
    const socket = connect(Number(new URL(fixture.url).port), "127.0.0.1");
    let received = "";
    socket.on("data", (chunk) => (received += String(chunk)));
    const head = (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${OWNER_KEY}\r\n\r\n`;
    socket.write(head(`${files}?path=x`));
    await waitFor(() => received.endsWith("real"), { describe: "the file" });
    socket.write(head("/health"));
    await waitFor(() => received.includes('"status":"ok"'), { describe: "the next answer" });
    expect(received).not.toContain("forged");
    socket.destroy();
  });

  test.each([
    ["no length", "HTTP/1.1 200 OK\r\n\r\nbytes"],
    ["a status of its own", "HTTP/1.1 101 Switching\r\ncontent-length: 1\r\n\r\nx"],
    ["a header that none can be", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\netag: \u0001\r\n\r\nx"],
    ["no HTTP", "hello there\r\n\r\n"],
    ["a head without end", "x".repeat(20_000)],
    ["nothing", ""],
  ])("is answered for with an error: %s", async (_name, text) => {
    answerWith(text);
    const response = await get();
    expect(response.status).toBeGreaterThanOrEqual(500);
    expect(errorAnswer.parse(await response.json()).error.requestId).toBeTruthy();
    await waitFor(() => fixture.agent.taken.every(({ destroyed }) => destroyed), {
      describe: "the connection to be let go",
    });
  });

  test("and sends less than it promised breaks the download off", async () => {
    answerWith("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort");
    const response = await get();
    await expect(response.text()).rejects.toThrow();
  });
});

test("what arrives is what was sent", async () => {
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7919) % 251));
  await fetch(`${fixture.url}${files}?path=bytes`, {
    method: "PUT",
    headers: withKey,
    body: bytes,
  });
  const digest = (data: Buffer) => createHash("sha256").update(data).digest("hex");
  expect(digest(await readFile(fixture.agent.file("bytes")))).toBe(digest(bytes));
  const down = await fetch(`${fixture.url}${files}?path=bytes`, { headers: withKey });
  expect(digest(Buffer.from(await down.arrayBuffer()))).toBe(digest(bytes));
});

test("an upload that stands still is given up", async () => {
  await using impatient = await startHttpFixture({ limits: { transferIdleMs: 100 } });
  const path = `/api/v1/sandboxes/${await impatient.newSandbox()}/files?path=x`;
  const put = request(`${impatient.url}${path}`, {
    method: "PUT",
    headers: { ...withKey, "content-length": 10 },
  });
  put.write("half");
  await expect(
    new Promise((resolve, reject) => put.once("response", resolve).once("error", reject)),
  ).rejects.toThrow();
});

async function sparseFile(name: string, bytes: number): Promise<void> {
  await using handle = await open(fixture.agent.file(name), "w");
  await handle.truncate(bytes);
}

function watchMemory() {
  const before = process.memoryUsage().rss;
  let peak = before;
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 20);
  return {
    stop: () => {
      clearInterval(timer);
      return (peak - before) >> 20;
    },
  };
}
