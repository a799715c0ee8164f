/** Uploads that are large enough to go past the parser. */
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Socket, connect } from "node:net";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OWNER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
let files: string;
let client: Socket;
/** All that the client was answered. */
let answer: string;
beforeEach(async () => {
  fixture = await startHttpFixture();
  files = `/api/v1/sandboxes/${await fixture.newSandbox()}/files`;
  client = connect(Number(new URL(fixture.url).port), "127.0.0.1");
  client.on("error", () => undefined);
  answer = "";
  client.on("data", (chunk) => (answer += String(chunk)));
});
afterEach(async () => {
  client.destroy();
  await fixture[Symbol.asyncDispose]();
});

const body = randomBytes(4_000_000);
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const head = (method: string, path: string, headers: Record<string, string | number>) => {
  const all = { host: "x", "x-api-key": OWNER_KEY, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
};
const put = (name: string, lengthBytes = body.length) =>
  head("PUT", `${files}?path=${name}`, { "content-length": lengthBytes });
const agentHungUp = () =>
  waitFor(() => fixture.agent.taken.every(({ destroyed }) => destroyed), {
    describe: "the agent's connection to be let go",
  });

test("what arrives is what was sent, and the connection ends with the answer", async () => {
  client.write(put("whole"));
  client.write(body);
  await waitFor(() => client.destroyed, { describe: "the connection to end" });
  expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*connection: close[^]*"size":4000000\}$/i);
  expect(sha256(await readFile(fixture.agent.file("whole")))).toBe(sha256(body));
  await agentHungUp();
});

test("nothing behind the body reaches the agent, nor is it answered", async () => {
  const next = head("DELETE", files.replace("/files", ""), {});
  const stolen = head("PUT", "/files?path=stolen", { "content-length": 0 });
  client.write(put("first"));
  client.write(Buffer.concat([body, Buffer.from(stolen + next)]));
  await waitFor(() => client.destroyed, { describe: "the connection to end" });
  expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  expect(sha256(await readFile(fixture.agent.file("first")))).toBe(sha256(body));
  expect(fixture.agent.seen.map(({ url }) => url)).toEqual(["/files?path=first"]);
});

test.each([
  ["two lengths", { "content-length": "4000000\r\ncontent-length: 5" }],
  ["a length and chunks", { "content-length": 4_000_000, "transfer-encoding": "chunked" }],
])("a body with %s is no request", async (_name, headers) => {
  client.write(head("PUT", `${files}?path=x`, headers));
  client.write(body);
  await waitFor(() => client.destroyed, { describe: "the connection to end" });
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(fixture.agent.seen).toEqual([]);
});

test("chunks go through the parser, and their connection is kept", async () => {
  client.write(head("PUT", `${files}?path=chunks`, { "transfer-encoding": "chunked" }));
  client.write(`${body.length.toString(16)}\r\n`);
  client.write(body);
  client.write(`\r\n0\r\n\r\n${head("GET", "/health", {})}`);
  await waitFor(() => answer.includes('"status":"ok"'), { describe: "the next answer" });
  expect(sha256(await readFile(fixture.agent.file("chunks")))).toBe(sha256(body));
});

test("who waits for 100 Continue is told to", async () => {
  const headers = { "content-length": body.length, expect: "100-continue" };
  client.write(head("PUT", `${files}?path=waited`, headers));
  await waitFor(() => answer.startsWith("HTTP/1.1 100 Continue\r\n\r\n"), { describe: "a go" });
  client.write(body);
  await waitFor(() => answer.includes("HTTP/1.1 200 "), { describe: "the answer" });
});

test.each(["breaks off", "ends its side"])("a client that %s frees the agent", async (how) => {
  client.write(put("half"));
  client.write(body.subarray(0, 2_000_000));
  await waitFor(() => fixture.agent.busy === 1, { describe: "the upload to be under way" });
  if (how === "breaks off") client.destroy();
  else client.end();
  await waitFor(() => fixture.agent.busy === 0, { describe: "the agent to be let go" });
  await agentHungUp();
  expect(answer).not.toContain("200 OK");
});

test("a machine lost in the middle of an upload ends it with the reason", async () => {
  client.write(put("half"));
  client.write(body.subarray(0, 2_000_000));
  await waitFor(() => fixture.agent.busy === 1, { describe: "the upload to be under way" });
  fixture.agent.lose();
  await waitFor(() => answer.includes('"machine_lost"'), { describe: "the reason" });
  client.destroy();
});

describe("an agent that does not wait for the body's end", () => {
  const answerWith = (text: string) => {
    fixture.agent.onRequest = (asked) => {
      asked.socket.write(text);
      return true;
    };
  };
  const refusal = JSON.stringify({ error: { code: "no_space", message: "The disk is full" } });
  const heads = (status: string, length: number) =>
    `HTTP/1.1 ${status}\r\ncontent-length: ${length}\r\n\r\n`;

  test("and refuses is heard by a client that goes on sending", async () => {
    answerWith(heads("507 No", refusal.length) + refusal);
    client.write(put("x", 1_000_000_000));
    const sending = setInterval(() => client.write(body.subarray(0, 100_000)), 1);
    client.once("close", () => clearInterval(sending));
    await waitFor(() => answer.includes('"no_space"'), { describe: "the refusal" });
    expect(answer).toMatch(/^HTTP\/1\.1 507 /);
    client.destroy();
    await agentHungUp();
  });

  test.each([
    ["something else", heads("200 OK", 2) + "{}"],
    ["a file of its own", heads("206 Partial", 0)],
    ["no HTTP", "hello there\r\n\r\n"],
    ["a head without end", "x".repeat(20_000)],
    ["words without end", heads("200 OK", 1e9) + "x".repeat(70_000)],
  ])("and answers with %s is answered for", async (_name, text) => {
    answerWith(text);
    client.write(put("x"));
    client.write(body);
    await waitFor(() => answer.includes('"internal"'), { describe: "the answer" });
    expect(answer).toMatch(/^HTTP\/1\.1 500 /);
    await agentHungUp();
  });

  test("and hangs up is told as a lost connection", async () => {
    fixture.agent.onRequest = (asked) => asked.socket.destroy() !== undefined;
    client.write(put("x"));
    client.write(body);
    await waitFor(() => answer.includes('"connection_lost"'), { describe: "the answer" });
  });
});
