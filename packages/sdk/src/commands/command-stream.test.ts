import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { RpcRequest } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { describe, expect, test } from "vitest";
import { ScriptedSandbox, type ScriptedSocket } from "../rpc/scripted-sandbox.fixture.ts";
import type { OutputGap, OutputName } from "./command-result.ts";
import { CommandStream } from "./command-stream.ts";

const exit = { type: "exit", processId: "p", channel: 1, exitCode: 0, durationMs: 1 } as const;

class Recorder {
  readonly text: Record<OutputName, string> = { stdout: "", stderr: "" };
  readonly gaps: OutputGap[] = [];
  hold: Promise<void> | undefined;

  chunk(stream: OutputName, bytes: Uint8Array): void | Promise<void> {
    this.text[stream] += new TextDecoder().decode(bytes);
    return this.hold;
  }

  gap(gap: OutputGap): void {
    this.gaps.push(gap);
  }
}

/** Answers `start` and `attach`, then leaves the rest to the test. */
async function begin(options: { reconnectTimeoutMs?: number } = {}) {
  const sandbox = new ScriptedSandbox();
  const attached: RpcRequest[] = [];
  sandbox.asked = (request: RpcRequest, socket: ScriptedSocket) => {
    if (request.type === "start") socket.answer(request, { processId: "p", pid: 7, channel: 1 });
    if (request.type === "attach") {
      attached.push(request);
      socket.answer(request, { channel: 1, process: { pid: 7 } });
    }
  };
  const recorder = new Recorder();
  const client = sandbox.client(options);
  const stream = await CommandStream.open(client, { start: { cmd: "x" } }, recorder, {});
  const socket = (): ScriptedSocket => sandbox.openSockets.at(-1) as ScriptedSocket;
  return { sandbox, attached, recorder, stream, socket };
}

describe("CommandStream", () => {
  test("goes on at the offset it reached, and shows nothing twice", async () => {
    const { attached, recorder, stream, socket } = await begin();
    socket().bytes("stdout", 0, "one ");
    socket().bytes("stderr", 0, "!");
    socket().cut();
    await waitFor(() => attached.length === 1, { describe: "an attach" });
    expect(attached[0]).toMatchObject({ processId: "p", stdoutOffset: 4, stderrOffset: 1 });
    socket().bytes("stdout", 0, "one two");
    socket().notice({ ...exit, stdoutBytes: 7, stderrBytes: 1 });
    await expect(stream.finished()).resolves.toMatchObject({ exitCode: 0 });
    expect(recorder.text).toEqual({ stdout: "one two", stderr: "!" });
    expect(recorder.gaps).toEqual([]);
  });

  test("survives being cut again and again", async () => {
    const { attached, recorder, stream, socket } = await begin();
    for (let round = 0; round < 5; round += 1) {
      socket().bytes("stdout", round, String(round));
      socket().cut();
      await waitFor(() => attached.length === round + 1, { describe: "an attach" });
    }
    socket().notice({ ...exit, stdoutBytes: 5, stderrBytes: 0 });
    await stream.finished();
    expect(recorder.text.stdout).toBe("01234");
  });

  test("says what was overwritten while it was away", async () => {
    const { attached, recorder, stream, socket } = await begin();
    socket().bytes("stdout", 0, "abc");
    socket().cut();
    await waitFor(() => attached.length === 1, { describe: "an attach" });
    socket().notice({ type: "dropped", channel: 1, stream: "stdout", from: 3, to: 10 });
    socket().bytes("stdout", 10, "xyz");
    socket().notice({ ...exit, stdoutBytes: 13, stderrBytes: 0 });
    await stream.finished();
    expect(recorder.gaps).toEqual([{ stream: "stdout", from: 3, to: 10 }]);
    expect(recorder.text.stdout).toBe("abcxyz");
  });

  test("output that should have come before the exit is a gap", async () => {
    const { recorder, stream, socket } = await begin();
    socket().notice({ ...exit, stdoutBytes: 5, stderrBytes: 0 });
    await stream.finished();
    expect(recorder.gaps).toEqual([{ stream: "stdout", from: 0, to: 5 }]);
  });

  test.each(["sandbox_not_found", "sandbox_failed", "machine_lost"])(
    "%s ends the attempts to come back at once",
    async (code) => {
      const { sandbox, stream, socket } = await begin();
      sandbox.refusal = code;
      socket().cut();
      await expect(stream.finished()).rejects.toMatchObject({ code });
    },
  );

  test("a close frame with a final reason is not even tried to be mended", async () => {
    const { attached, stream, socket } = await begin();
    socket().cut('{"code":"machine_lost","message":"the machine ended"}');
    await expect(stream.finished()).rejects.toMatchObject({ code: "machine_lost" });
    expect(attached).toEqual([]);
  });

  test("what the sandbox answers to an attach is final, even when it is its own defect", async () => {
    const { sandbox, stream, socket } = await begin();
    sandbox.asked = (request, connection) => {
      const error = { code: "internal", message: "a defect", hint: "", retryable: true };
      if (request.type === "attach") connection.text({ id: request.id, type: "error", error });
    };
    socket().cut();
    await expect(stream.finished()).rejects.toMatchObject({ code: "internal" });
  });

  test("gives up after the reconnect time with the last reason", async () => {
    const { sandbox, stream, socket } = await begin({ reconnectTimeoutMs: 60 });
    sandbox.refusal = "agent_unreachable";
    socket().cut();
    await expect(stream.finished()).rejects.toMatchObject({ code: "agent_unreachable" });
  });

  test("a slow reader pauses the socket and gets all in order", async () => {
    const { recorder, stream, socket } = await begin();
    let release: () => void = () => undefined;
    recorder.hold = new Promise((resolve) => {
      release = resolve;
    });
    const connection = socket();
    connection.bytes("stdout", 0, "a");
    expect(connection.paused).toBe(true);
    connection.bytes("stdout", 1, "b");
    connection.notice({ ...exit, stdoutBytes: 2, stderrBytes: 0 });
    expect(recorder.text.stdout).toBe("a");
    release();
    await stream.finished();
    expect(recorder.text.stdout).toBe("ab");
    expect(connection.paused).toBe(false);
  });

  test("leaves and comes back where a socket cannot be paused and the reader is slow", async () => {
    const { attached, recorder, socket } = await begin();
    let release: () => void = () => undefined;
    recorder.hold = new Promise((resolve) => {
      release = resolve;
    });
    const piece = "x".repeat(1024 * 1024);
    const connection = socket();
    let offset = 0;
    while (connection.open && offset < 4 * LIMITS.sdkBacklogBytes.value) {
      connection.bytes("stdout", offset, piece);
      offset += piece.length;
    }
    expect(connection.open).toBe(false);
    expect(attached).toEqual([]);
    release();
    await waitFor(() => attached.length === 1, { describe: "an attach" });
    expect(attached[0]).toMatchObject({ stdoutOffset: recorder.text.stdout.length });
    expect(recorder.text.stdout.length).toBe(offset);
  });

  test("a reader that throws ends the stream with its error", async () => {
    const { recorder, stream, socket } = await begin();
    recorder.hold = Promise.reject(new Error("the reader's own"));
    socket().bytes("stdout", 0, "a");
    await expect(stream.finished()).rejects.toThrow("the reader's own");
  });

  test("an abort that comes with the first output kills the command", async () => {
    const controller = new AbortController();
    const sandbox = new ScriptedSandbox();
    const killed: RpcRequest[] = [];
    sandbox.asked = (request, socket) => {
      if (request.type === "signal") killed.push(request);
      if (request.type !== "start") return;
      socket.answer(request, { processId: "p", pid: 7, channel: 1 });
      socket.bytes("stdout", 0, "a");
    };
    const reader = { chunk: () => controller.abort(), gap: () => undefined };
    const { signal } = controller;
    const origin = { start: { cmd: "x" } };
    const opening = CommandStream.open(sandbox.client(), origin, reader, { signal });
    await expect(opening).rejects.toMatchObject({ name: "AbortError" });
    await waitFor(() => killed.length === 1, { describe: "a signal" });
    expect(killed[0]).toMatchObject({ processId: "p", signal: "SIGKILL" });
  });

  test("closing leaves no connection in use", async () => {
    const { sandbox, stream } = await begin();
    stream.close();
    await expect(stream.finished()).rejects.toThrow(/detached/);
    expect(sandbox.openSockets).toEqual([]);
  });
});
