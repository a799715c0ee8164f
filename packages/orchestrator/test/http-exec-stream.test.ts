import { type ExecLine, encodeFrame } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { OWNER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
let path: string;
/** What the agent was asked, in order. */
let asked: Record<string, unknown>[];
beforeEach(async () => {
  fixture = await startHttpFixture();
  path = `/api/v1/sandboxes/${await fixture.newSandbox()}/exec`;
  asked = [];
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

/** Answers `start` and then does what the test says. */
function onStart(then: (agentSide: WebSocket) => void): void {
  fixture.agent.onWebSocket = (agentSide) => {
    agentSide.on("message", (data: Buffer) => {
      const request = JSON.parse(String(data)) as Record<string, unknown>;
      asked.push(request);
      if (request["type"] !== "start") return;
      const { id } = request;
      agentSide.send(
        JSON.stringify({ id, type: "startResponse", processId: "p1", pid: 7, channel: 1 }),
      );
      then(agentSide);
    });
  };
}

const exit = (fields: object) =>
  JSON.stringify({
    type: "exit",
    processId: "p1",
    channel: 1,
    durationMs: 5,
    stdoutBytes: 0,
    stderrBytes: 0,
    ...fields,
  });

async function linesOf(body: object, accept = "application/x-ndjson"): Promise<ExecLine[]> {
  const answer = await fixture.send("POST", path, { body, headers: { accept } });
  expect(answer.headers.get("content-type")).toBe(accept);
  return String(answer.body["text"])
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ExecLine);
}

describe("exec answered as lines", () => {
  test("tells start, output with characters whole, and exit; passes on every option", async () => {
    const euro = Buffer.from("€");
    onStart((agentSide) => {
      agentSide.send(encodeFrame("stdout", 1, 0, euro.subarray(0, 1)));
      agentSide.send(encodeFrame("stderr", 1, 0, Buffer.from("warn")));
      agentSide.send(encodeFrame("stdout", 1, 1, euro.subarray(1)));
      agentSide.send(
        JSON.stringify({ type: "dropped", channel: 1, stream: "stdout", from: 3, to: 10 }),
      );
      agentSide.send(exit({ exitCode: 3 }));
    });
    const lines = await linesOf({
      cmd: "cat",
      args: ["-"],
      cwd: "/tmp",
      environment: { A: "1" },
      user: "root",
      stdin: "in",
      timeout_seconds: 1.5,
    });
    expect(lines).toEqual([
      { type: "started", process_id: "p1", pid: 7 },
      { type: "stderr", data: "warn" },
      { type: "stdout", data: "€" },
      { type: "dropped", stream: "stdout", bytes: 7 },
      { type: "exit", exit_code: 3, duration_ms: 5 },
    ]);
    expect(asked[0]).toMatchObject({
      cmd: "cat",
      args: ["-"],
      cwd: "/tmp",
      env: { A: "1" },
      user: "root",
      timeoutMs: 1500,
      stdin: true,
    });
    await waitFor(() => asked.length === 3, { describe: "the input" });
    expect(asked.slice(1)).toMatchObject([
      { type: "stdin", data: "in", processId: "p1" },
      { type: "closeStdin", processId: "p1" },
    ]);
  });

  test("as server-sent events too", async () => {
    onStart((agentSide) => agentSide.send(exit({ signal: "SIGTERM" })));
    const answer = await fixture.send("POST", path, {
      body: { shell: "x" },
      headers: { accept: "text/event-stream" },
    });
    expect(String(answer.body["text"])).toBe(
      'event: started\ndata: {"type":"started","process_id":"p1","pid":7}\n\n' +
        'event: exit\ndata: {"type":"exit","duration_ms":5,"signal":"SIGTERM"}\n\n',
    );
  });

  test("a command that cannot start, a lost machine and a broken line end with an error line", async () => {
    fixture.agent.onWebSocket = (agentSide) => {
      agentSide.on("message", (data: Buffer) => {
        const { id } = JSON.parse(String(data)) as { id: string };
        const error = { code: "command_not_found", message: "nope is not in PATH" };
        agentSide.send(JSON.stringify({ id, type: "error", error }));
      });
    };
    expect(await linesOf({ cmd: "nope" })).toMatchObject([
      { type: "error", error: { code: "command_not_found", requestId: expect.any(String) } },
    ]);
    onStart(() => fixture.agent.kill());
    expect((await linesOf({ cmd: "x" })).at(-1)).toMatchObject({
      error: { code: "connection_lost" },
    });
    onStart(() => fixture.agent.lose());
    expect((await linesOf({ cmd: "x" })).at(-1)).toMatchObject({ error: { code: "machine_lost" } });
  });

  test("what is wrong before it starts has its own status", async () => {
    const headers = { accept: "application/x-ndjson" };
    expect((await fixture.send("POST", path, { body: {}, headers })).status).toBe(400);
    await fixture.send("POST", path.replace("/exec", "/stop"));
    expect((await fixture.send("POST", path, { body: { cmd: "x" }, headers })).status).toBe(409);
  });

  test("a client that leaves kills the command", async () => {
    onStart((agentSide) => agentSide.send(encodeFrame("stdout", 1, 0, Buffer.from("tick"))));
    const leaving = new AbortController();
    const response = await fetch(`${fixture.url}${path}`, {
      method: "POST",
      headers: {
        "x-api-key": OWNER_KEY,
        "content-type": "application/json",
        accept: "application/x-ndjson",
      },
      body: JSON.stringify({ cmd: "ticker" }),
      signal: leaving.signal,
    });
    await response.body?.getReader().read();
    leaving.abort();
    await waitFor(() => asked.find(({ type }) => type === "signal"), { describe: "the kill" });
    expect(asked.at(-1)).toMatchObject({ type: "signal", processId: "p1", signal: "SIGKILL" });
  });

  test("a slow reader holds the command back", async () => {
    let sent = 0;
    const piece = encodeFrame("stdout", 1, 0, Buffer.alloc(64 * 1024, "x"));
    const total = 64 * 1024 * 1024;
    onStart((agentSide) => {
      const next = () => {
        if (sent >= total) agentSide.send(exit({ exitCode: 0 }));
        else agentSide.send(piece, next);
        sent += piece.length;
      };
      next();
    });
    const response = await fetch(`${fixture.url}${path}`, {
      method: "POST",
      headers: {
        "x-api-key": OWNER_KEY,
        "content-type": "application/json",
        accept: "application/x-ndjson",
      },
      body: JSON.stringify({ cmd: "yes" }),
    });
    let last = -1;
    await waitFor(() => (sent > 0 && sent === last) || ((last = sent), false), {
      intervalMs: 150,
      describe: "the command to be held",
    });
    expect(sent).toBeLessThan(total / 2);
    const text = await response.text();
    expect(text.trimEnd().endsWith('"duration_ms":5,"exit_code":0}')).toBe(true);
  });
});
