import { describe, expect, test } from "vitest";
import { ScriptedSandbox } from "../rpc/scripted-sandbox.fixture.ts";
import { CommandHandle } from "./command-handle.ts";

/** A command that runs until it is told otherwise. */
async function begin(sandbox: ScriptedSandbox) {
  const asked: string[] = [];
  sandbox.asked = (request, socket) => {
    asked.push(request.type);
    if (request.type === "start") socket.answer(request, { processId: "p", pid: 7, channel: 1 });
    if (request.type === "signal") socket.answer(request, { delivered: true });
  };
  const client = sandbox.client();
  const handle = await CommandHandle.open(client, { start: { cmd: "x" } }, {});
  return { client, handle, asked };
}

describe("disposing a command's handle", () => {
  test("kills a command that runs", async () => {
    const { handle, asked } = await begin(new ScriptedSandbox());
    await handle[Symbol.asyncDispose]();
    expect(asked).toEqual(["start", "signal"]);
  });

  test("returns at once when the sandbox was left or destroyed", async () => {
    const { client, handle, asked } = await begin(new ScriptedSandbox());
    client.close();
    const startedAt = performance.now();
    await handle[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(500);
    expect(asked).toEqual(["start"]);
  });

  test("returns at once when somebody else destroyed the sandbox", async () => {
    const sandbox = new ScriptedSandbox();
    const { handle } = await begin(sandbox);
    sandbox.refusal = "sandbox_not_found";
    for (const socket of sandbox.openSockets) socket.cut();
    const startedAt = performance.now();
    await handle[Symbol.asyncDispose]();
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  test("a call on a sandbox that was left is refused at once, and not tried for a minute", async () => {
    const { client, handle } = await begin(new ScriptedSandbox());
    client.close();
    const startedAt = performance.now();
    await expect(handle.kill()).rejects.toMatchObject({ code: "connection_lost" });
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});
