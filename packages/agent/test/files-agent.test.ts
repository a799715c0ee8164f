/** What files, terminals, ports and metrics do through a real agent and its line. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { encodeFrame } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./agent-process.ts";
import { RpcClient } from "./rpc-client.ts";

const directory = join(tmpdir(), `insien-agent-files-${process.pid}`);
let agent: TestAgent;
let client: RpcClient;
beforeAll(async () => {
  agent = await startAgent();
  client = new RpcClient(await agent.line.rpc());
});
afterAll(async () => {
  client.socket.terminate();
  await agent[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

test("a file goes up by HTTP and is read, searched and listed by calls", async () => {
  const path = join(directory, "file.txt");
  const query = `/files?path=${encodeURIComponent(path)}`;
  const up = await agent.line.fetch(query, { method: "PUT", body: "one\ntwo needles\n" });
  expect(JSON.parse(await text(up))).toEqual({ path, size: 16 });
  expect(await client.call("read", { path })).toMatchObject({ content: "one\ntwo needles\n" });
  expect(await client.call("search", { path: directory, pattern: "needle" })).toMatchObject({
    matches: [{ path, line: 2, column: 5, text: "two needles" }],
    truncated: false,
  });
  expect((await client.call("listDirectory", { path: directory })).entries).toHaveLength(1);
  expect(await text(await agent.line.fetch(query))).toBe("one\ntwo needles\n");
});

test("a watch tells of a change made by a command", async () => {
  const { watchId } = await client.call("watch", { path: directory, recursive: true });
  await client.call("exec", {
    shell: "mkdir -p new/deep && echo x > new/deep/file",
    cwd: directory,
  });
  await waitFor(() =>
    client.notices.some(
      (notice) => notice.type === "fileEvent" && notice.path.endsWith("new/deep/file"),
    ),
  );
  expect(await client.call("unwatch", { watchId })).toMatchObject({ removed: true });
});

test("a terminal takes input frames and counts as activity until it ends", async () => {
  const events = await agent.line.fetch("/control/events");
  let heard = "";
  events.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  const { channel, terminalId } = await client.call("terminalOpen", {
    shell: "read x; echo got-$x",
  });
  await waitFor(() => heard.includes('"terminals":1'), { describe: "the terminal to count" });
  client.socket.send(encodeFrame("terminalInput", channel, 0, Buffer.from("it\n")));
  await waitFor(() => client.notices.some(({ type }) => type === "terminalExit"));
  const shown = client.frames.filter((frame) => frame.kind === "terminalOutput");
  expect(Buffer.concat(shown.map(({ payload }) => payload)).toString()).toBe("it\r\ngot-it\r\n");
  expect(await client.call("terminalClose", { terminalId })).toMatchObject({ closed: false });
  await waitFor(() => heard.trimEnd().endsWith("}") && /"terminals":0[^\n]*\n$/.test(heard));
  events.destroy();
});

test("a port is reached by CONNECT on the line, each direction ending on its own", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void buffer(socket).then((got) => socket.end(`${got.length} bytes`));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  expect((await client.call("ports", {})).ports.map((found) => found.port)).toContain(port);
  const stream = await agent.line.take();
  stream.write(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await once(stream, "data");
  stream.end(Buffer.alloc(1_000_000));
  expect(await text(stream)).toBe("1000000 bytes");
  server.close();
});

test("metrics come through", async () => {
  const { metrics } = await client.call("metrics", {});
  expect(metrics.memory.usedBytes).toBeGreaterThan(0);
  expect(metrics.cpu.usedMs).toBeGreaterThan(0);
});
