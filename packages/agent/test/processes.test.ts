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

test("exec answers with both streams and the exit code", async () => {
  const answer = await client.call("exec", { shell: "echo out; echo err >&2; exit 3" });
  expect(answer).toMatchObject({ stdout: "out\n", stderr: "err\n", exitCode: 3 });
});

test("start streams output and ends with an exit notice", async () => {
  const { channel } = await client.call("start", { cmd: "echo", args: ["hello"] });
  const exit = await client.exit(channel);
  expect(exit).toMatchObject({ exitCode: 0, stdoutBytes: 6, stderrBytes: 0 });
  expect(client.output("stdout", channel).toString()).toBe("hello\n");
});

test("a command may open /dev/stdout and /dev/stderr, as every user", async () => {
  const shell = "echo a > /dev/stderr; echo b > /dev/stdout; echo c >> /proc/self/fd/2";
  for (const user of ["0", "1000"]) {
    const answer = await client.call("exec", { shell, user });
    expect(answer).toMatchObject({ stdout: "b\n", stderr: "a\nc\n", exitCode: 0 });
  }
});
