import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMITS, LINE_WEBSOCKET_PROTOCOL, type AgentEvent } from "@insien/protocol";
import { isRunning, waitFor } from "@insien/test-kit";
import { expect, test } from "vitest";
import { WebSocketServer, createWebSocketStream } from "ws";
import { startAgent } from "./agent-process.ts";
import { LineServer } from "./line-server.ts";
import { RpcClient } from "./rpc-client.ts";

test("the agent says who it is and keeps spare connections parked", async () => {
  await using agent = await startAgent();
  const { line } = agent;
  await waitFor(() => line.parked === LIMITS.lineSpareConnections.value);
  expect(line.lastRequest?.url).toBe("/line/testmachine");
  expect(line.lastRequest?.headers.authorization).toBe("Bearer test-token");
  const client = new RpcClient(await line.rpc());
  await client.call("ping", {});
  await waitFor(() => line.parked === LIMITS.lineSpareConnections.value);
  expect(line.accepted).toBe(LIMITS.lineSpareConnections.value + 1);
});

test("twenty connections may be taken at once", async () => {
  await using agent = await startAgent();
  const clients = await Promise.all(
    Array.from({ length: 20 }, async () => new RpcClient(await agent.line.rpc())),
  );
  const answers = await Promise.all(
    clients.map((client) => client.call("exec", { shell: "echo hi" })),
  );
  expect(answers.every(({ stdout }) => stdout === "hi\n")).toBe(true);
});

test("it dials again after its orchestrator was gone, and commands have gone on", async () => {
  const directory = await mkdtemp(join(tmpdir(), "insien-line-"));
  const before = await LineServer.listen(directory);
  await using agent = await startAgent({ line: before });
  const first = new RpcClient(await before.rpc());
  const { processId } = await first.call("start", {
    shell: "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done",
  });
  await before[Symbol.asyncDispose]();
  await mkdir(directory);
  await using after = await LineServer.listen(directory);
  const second = new RpcClient(await after.rpc());
  const { channel } = await second.call("attach", { processId });
  await second.exit(channel);
  expect(second.output("stdout", channel).toString()).toBe("1\n2\n3\n4\n5\n6\n7\n8\n");
  expect(agent.child.exitCode).toBeNull();
});

test("it keeps trying while it is refused", async () => {
  const line = await LineServer.listen();
  line.refuse = true;
  await using agent = await startAgent({ line });
  await waitFor(() => line.accepted > 3);
  line.refuse = false;
  const client = new RpcClient(await agent.line.rpc());
  expect(await client.call("ping", {})).toHaveProperty("at");
});

test("a WebSocket carries the line as well", async () => {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  const line = await LineServer.listen();
  sockets.on("connection", (socket, request) => {
    expect(socket.protocol).toBe(LINE_WEBSOCKET_PROTOCOL);
    expect(request.headers.authorization).toBe("Bearer test-token");
    line.park(request, createWebSocketStream(socket));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const { port } = http.address() as AddressInfo;
  await using agent = await startAgent({ line, address: `ws://127.0.0.1:${port}` });
  const client = new RpcClient(await agent.line.rpc());
  expect(await client.call("exec", { shell: "echo over" })).toMatchObject({ stdout: "over\n" });
  const { channel } = await client.call("start", { shell: "head -c 20000000 /dev/zero" });
  await client.exit(channel);
  expect(client.output("stdout", channel).length).toBe(20_000_000);
  for (const socket of sockets.clients) socket.terminate();
  http.close();
});

test("events tell of the start, of each command, and of how much goes on", async () => {
  await using agent = await startAgent();
  const response = await agent.line.fetch("/control/events");
  const events: AgentEvent[] = [];
  let text = "";
  response.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    events.push(...lines.map((line) => JSON.parse(line) as AgentEvent));
  });
  const client = new RpcClient(await agent.line.rpc());
  await client.call("exec", { shell: "echo hi; exit 3" });
  await waitFor(() => events.length >= 6);
  expect(events.map(({ type }) => type)).toEqual([
    "hello",
    "activity",
    "started",
    "activity",
    "ended",
    "activity",
  ]);
  expect(events[0]).toMatchObject({ machineId: "testmachine" });
  expect(events[2]).toMatchObject({
    command: ["/bin/sh", "-c", "echo hi; exit 3"],
    background: false,
  });
  expect(events[3]).toMatchObject({ commands: 1, terminals: 0 });
  expect(events[4]).toMatchObject({ exitCode: 3, stdoutBytes: 3, stderrBytes: 0 });
  expect(events[5]).toMatchObject({ commands: 0 });
  await waitFor(() => events.some(({ type }) => type === "heartbeat"), {
    timeoutMs: LIMITS.lineHeartbeatMs.value + 2000,
  });
});

test("a bind gives commands their environment; a wrong one is refused by name", async () => {
  await using agent = await startAgent();
  const body = JSON.stringify({ sandboxId: "abcd", env: { BOUND: "yes", PATH: "/bin" } });
  expect((await agent.line.fetch("/control/bind", { method: "POST", body })).statusCode).toBe(204);
  const client = new RpcClient(await agent.line.rpc());
  const { stdout } = await client.call("exec", {
    shell: "echo $BOUND $PATH $OWN",
    env: { OWN: "too" },
  });
  expect(stdout).toBe("yes /bin too\n");
  const wrong = JSON.stringify({ sandboxId: "abcd", env: { A: 1 } });
  const refused = await agent.line.fetch("/control/bind", { method: "POST", body: wrong });
  expect(refused.statusCode).toBe(400);
  expect(
    JSON.stringify(await refused.toArray().then((parts) => Buffer.concat(parts).toString())),
  ).toContain("env.A");
});

test("shutdown and SIGTERM end the commands and then the agent", async () => {
  for (const how of ["request", "signal"]) {
    await using agent = await startAgent();
    const client = new RpcClient(await agent.line.rpc());
    const { pid } = await client.call("start", { cmd: "sleep", args: ["300"], background: true });
    if (how === "signal") agent.child.kill("SIGTERM");
    else await agent.line.fetch("/control/shutdown", { method: "POST" });
    await waitFor(() => agent.child.exitCode === 0);
    expect(isRunning(pid)).toBe(false);
  }
});

test("what the agent does not serve is a 404, as JSON or as a refused upgrade", async () => {
  await using agent = await startAgent();
  expect((await agent.line.fetch("/nothing")).statusCode).toBe(404);
  await expect(agent.line.rpc("/nothing")).rejects.toThrow("404");
});
