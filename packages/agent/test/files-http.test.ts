import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { once } from "node:events";
import { readFile, readdir, stat, truncate, writeFile, mkdir } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { buffer } from "node:stream/consumers";
import { mustHave, waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { handleFiles } from "../src/files/index.ts";
import { makeHome, type Home } from "./files.fixture.ts";

const isRoot = process.getuid?.() === 0;
let home: Home;
let server: Server;
beforeEach(async () => {
  home = await makeHome();
  server = createServer((incoming, response) => void handleFiles(incoming, response, home));
  await once(server.listen(home.at("socket")), "listening");
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await home[Symbol.asyncDispose]();
});

const open = (method: string, query: string, headers: Record<string, string> = {}) =>
  request({ socketPath: home.at("socket"), method, path: `/files?${query}`, headers });

async function call(
  method: string,
  query: string,
  options: { headers?: Record<string, string>; body?: Uint8Array } = {},
): Promise<{ status: number | undefined; headers: IncomingMessage["headers"]; body: Buffer }> {
  const outgoing = open(method, query, options.headers);
  const answer = once(outgoing, "response") as Promise<[IncomingMessage]>;
  // An answer may come before the body is out; what the socket then says does not matter.
  outgoing.on("error", () => undefined);
  outgoing.end(options.body);
  const [response] = await answer;
  return { status: response.statusCode, headers: response.headers, body: await buffer(response) };
}

test("what was put is got", async () => {
  const body = Buffer.alloc(3_000_001, "0123456789");
  const put = await call("PUT", "path=dir/file&mode=755", { body });
  expect(JSON.parse(put.body.toString())).toEqual({ path: home.at("dir/file"), size: body.length });
  expect((await stat(home.at("dir/file"))).mode & 0o777).toBe(0o755);
  const got = await call("GET", "path=~/dir/file");
  expect(got.status).toBe(200);
  expect(got.body.equals(body)).toBe(true);
  expect(got.headers).toMatchObject({
    "content-type": "application/octet-stream",
    "content-length": String(body.length),
    "accept-ranges": "bytes",
  });
  expect(Date.parse(got.headers["last-modified"] ?? "")).toBeGreaterThan(0);
});

test("HEAD answers the headers of GET", async () => {
  await writeFile(home.at("file"), "12345");
  const [head, get] = [await call("HEAD", "path=file"), await call("GET", "path=file")];
  expect(head.body).toHaveLength(0);
  for (const name of ["content-length", "etag", "last-modified"]) {
    expect(head.headers[name]).toBe(get.headers[name]);
  }
});

test.each([
  ["bytes=0-3", "0123", "bytes 0-3/10"],
  ["bytes=8-", "89", "bytes 8-9/10"],
  ["bytes=-2", "89", "bytes 8-9/10"],
  ["bytes=5-99", "56789", "bytes 5-9/10"],
])("a range %s gives its part", async (range, content, contentRange) => {
  await writeFile(home.at("file"), "0123456789");
  const part = await call("GET", "path=file", { headers: { range } });
  expect([part.status, part.body.toString(), part.headers["content-range"]]).toEqual([
    206,
    content,
    contentRange,
  ]);
});

test("a range behind the end is refused with the size", async () => {
  await writeFile(home.at("file"), "0123456789");
  const part = await call("GET", "path=file", { headers: { range: "bytes=10-" } });
  expect(part.status).toBe(416);
  expect(part.headers["content-range"]).toBe("bytes */10");
  expect(JSON.parse(part.body.toString()).error.code).toBe("range_not_satisfiable");
});

test("an entity tag saves a download and guards a range", async () => {
  await writeFile(home.at("file"), "old");
  const { etag = "" } = (await call("GET", "path=file")).headers;
  expect((await call("GET", "path=file", { headers: { "if-none-match": etag } })).status).toBe(304);
  await writeFile(home.at("file"), "newer");
  const whole = await call("GET", "path=file", {
    headers: { "if-range": etag, range: "bytes=1-" },
  });
  expect([whole.status, whole.body.toString()]).toEqual([200, "newer"]);
});

test.each([
  ["GET", "path=missing", 404, "file_not_found"],
  ["GET", "path=.", 400, "is_a_directory"],
  ["GET", "path=/dev/zero", 400, "not_a_file"],
  ["GET", "path=/proc/self/environ", 403, "permission_denied"],
  ["PUT", "path=.", 400, "is_a_directory"],
  ["GET", "", 400, "invalid_request"],
  ["PUT", "path=x&mode=999", 400, "invalid_request"],
  ["DELETE", "path=x", 404, "route_not_found"],
])("%s ?%s answers %i %s", async (method, query, status, code) => {
  const answer = await call(method, query);
  expect([answer.status, JSON.parse(answer.body.toString()).error.code]).toEqual([status, code]);
});

test("a refusal is heard by who still sends", async () => {
  const answer = await call("PUT", "path=.", { body: Buffer.alloc(50_000_000) });
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.body.toString()).error.code).toBe("is_a_directory");
});

test("a file of /proc is got whole though it says it is empty", async () => {
  expect((await call("GET", "path=/proc/version")).body.toString()).toMatch(/^Linux/);
});

test("an upload that breaks off leaves what was there", async () => {
  await writeFile(home.at("file"), "old");
  const outgoing = open("PUT", "path=file", { "content-length": "9999999" });
  outgoing.on("error", () => undefined);
  outgoing.write(Buffer.alloc(2_000_000));
  await waitFor(async () => (await readdir(home.home)).length === 3, {
    describe: "the temporary file",
  });
  outgoing.destroy();
  await waitFor(async () => (await readdir(home.home)).length === 2, { describe: "its removal" });
  expect(await readFile(home.at("file"), "utf8")).toBe("old");
});

test("a file cut while it is read cuts the answer, never pads it", async () => {
  await writeFile(home.at("file"), Buffer.alloc(32_000_000));
  const outgoing = open("GET", "path=file").end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  await truncate(home.at("file"), 10);
  await expect(buffer(response)).rejects.toThrow("aborted");
});

test.skipIf(!mustHave(isRoot, "root rights"))(
  "a full disk answers 507 while the body still comes",
  async () => {
    await mkdir(home.at("small"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", home.at("small")]);
    try {
      const answer = await call("PUT", "path=small/file", { body: Buffer.alloc(20_000_000) });
      expect(answer.status).toBe(507);
      expect(JSON.parse(answer.body.toString()).error.code).toBe("no_space");
      expect(await readdir(home.at("small"))).toEqual([]);
    } finally {
      execFileSync("umount", [home.at("small")]);
    }
  },
);
