import { LIMITS, type RpcError } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./agent-process.ts";
import { RpcClient } from "./rpc-client.ts";

let agent: TestAgent;
let client: RpcClient;
beforeAll(async () => {
  agent = await startAgent();
  client = new RpcClient(await agent.line.rpc());
});
afterAll(() => agent[Symbol.asyncDispose]());

test.each([
  ["no JSON", "{oops", undefined],
  ["no object", "[1]", undefined],
  ["null", "null", undefined],
  ["an unknown type, with its id", '{"id":"x1","type":"nope"}', "x1"],
  ["an inherited name as type", '{"id":"x2","type":"constructor"}', "x2"],
  ["a type that is no text", '{"id":7,"type":{}}', 7],
  ["a missing field", '{"id":"x3","type":"attach"}', "x3"],
  ["a field of the wrong type", '{"id":"x4","type":"exec","cmd":5}', "x4"],
  ["no id", '{"type":"ping"}', undefined],
])("%s gets an error frame, and the connection lives", async (_what, text, id) => {
  const frames: { id?: unknown; type: string; error?: { code: string } }[] = [];
  const socket = await agent.line.rpc();
  socket.on("message", (data: Buffer) => frames.push(JSON.parse(data.toString())));
  socket.send(text);
  socket.send('{"id":"after","type":"ping"}');
  await waitFor(() => frames.length === 2);
  expect(frames[0]).toMatchObject({ type: "error", error: { code: "invalid_request" } });
  expect(frames[0]?.id).toBe(id);
  expect(frames[1]).toMatchObject({ id: "after", type: "pingResponse" });
  socket.close();
});

test("a binary frame of no sense gets an error frame", async () => {
  const before = client.errors.length;
  client.socket.send(Buffer.from([9, 9, 9]));
  await waitFor(() => client.errors.length > before);
  expect(client.errors.at(-1)).toMatchObject({ error: { code: "invalid_request" } });
});

test("input for a channel that is gone is let pass", async () => {
  client.input(9999, Buffer.from("late"));
  expect(await client.call("ping", {})).toHaveProperty("at");
});

test("a frame past its bound closes that connection only", async () => {
  const socket = await agent.line.rpc();
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined);
  socket.send(Buffer.alloc(LIMITS.rpcFrameBytes.value + 1));
  expect(await closed).toBe(1009);
  expect(await client.call("ping", {})).toHaveProperty("at");
});

test("requests that wait are bounded per connection", async () => {
  const busy = new RpcClient(await agent.line.rpc());
  const count = LIMITS.rpcRequestsInFlight.value + 10;
  const calls = Array.from({ length: count }, () =>
    busy.call("exec", { cmd: "sleep", args: ["0.5"] }).then(
      () => "done",
      (thrown: unknown) => (thrown as RpcError).error.code,
    ),
  );
  const results = await Promise.all(calls);
  expect(results.filter((result) => result === "limit_reached").length).toBeGreaterThan(0);
  expect(results.filter((result) => result === "done").length).toBeGreaterThanOrEqual(
    LIMITS.rpcRequestsInFlight.value,
  );
}, 60_000);

test("a ping is answered, and a close is closed back", async () => {
  const socket = await agent.line.rpc();
  const pong = new Promise((resolve) => socket.once("pong", resolve));
  socket.ping("there?");
  expect(String(await pong)).toBe("there?");
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  socket.close(1000);
  expect(await closed).toBe(1000);
});
