import { describe, expect, test } from "vitest";
import { ScriptedSandbox } from "./scripted-sandbox.fixture.ts";

describe("RpcClient", () => {
  test("asks again for a read whose connection was lost", async () => {
    const sandbox = new ScriptedSandbox();
    let asked = 0;
    sandbox.asked = (request, socket) => {
      asked += 1;
      if (asked === 1) socket.cut();
      else socket.answer(request, { content: "text" });
    };
    const answer = await sandbox.client().call("read", { path: "a" });
    expect(answer.content).toBe("text");
    expect(asked).toBe(2);
  });

  test("does not repeat a write, and says that it may have happened", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.asked = (_request, socket) => socket.cut();
    const call = sandbox.client().call("write", { path: "a", content: "" });
    await expect(call).rejects.toMatchObject({
      code: "connection_lost",
      details: { mayHaveHappened: true },
    });
  });

  test("the server's reason for closing is the call's error", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.asked = (_request, socket) =>
      socket.cut('{"code":"machine_lost","message":"the machine ended"}');
    const call = sandbox.client().call("read", { path: "a" });
    await expect(call).rejects.toMatchObject({ code: "machine_lost" });
  });

  test("gives up at once when the sandbox is gone for good", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.refusal = "sandbox_not_found";
    await expect(sandbox.client().call("ping", {})).rejects.toMatchObject({
      name: "SandboxNotFoundError",
    });
  });

  test("waits for a sandbox that cannot be reached yet", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.refusal = "agent_unreachable";
    sandbox.asked = (request, socket) => socket.answer(request, { at: "now" });
    const call = sandbox.client().call("ping", {});
    sandbox.refusal = undefined;
    await expect(call).resolves.toMatchObject({ at: "now" });
  });

  test("an abort ends the call with the signal's reason", async () => {
    const controller = new AbortController();
    const call = new ScriptedSandbox().client().call("ping", {}, { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
  });

  test("an answer that does not come is a timeout that names the knob", async () => {
    const call = new ScriptedSandbox().client().call("ping", {}, { requestTimeoutMs: 20 });
    await expect(call).rejects.toThrow(/requestTimeoutMs/);
  });

  test("nonsense from the sandbox ends the connection and nothing else", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.asked = (request, socket) => {
      if (request.type === "read") socket.text([null]);
      else socket.answer(request, { at: "now" });
    };
    const client = sandbox.client();
    await client.call("ping", {});
    sandbox.asked = (_request, socket) => {
      socket.bytes("stdout", 0, "bytes that nobody asked for");
      for (const message of [null, 7, "text"]) socket.text(message);
    };
    await expect(client.call("write", { path: "a", content: "" })).rejects.toMatchObject({
      code: "connection_lost",
    });
  });
});
