/**
 * Goal: a client with a valid key cannot hurt the orchestrator through the RPC door, and its own
 * sandbox only as far as its limits: malformed frames are answered, floods are held up, and who does
 * not read is not buffered for.
 */
import { once } from "node:events";
import { LIMITS } from "@insien/protocol";
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { presentRuntimes } from "../runtimes.ts";
import { OrchestratorWatch } from "./orchestrator-watch.ts";

const GROWTH_MAX_MIB = 128;
const ANSWER_MS_MAX = 5_000;

interface Answer {
  id?: string | number;
  type: string;
  error?: { code: string };
}

describe.each(presentRuntimes)("an RPC client that means harm, on %s", (runtime) => {
  let server: TestServer;
  let sandbox: Sandbox;
  let neighbour: Sandbox;
  let watch: OrchestratorWatch;
  const sockets: WebSocket[] = [];

  beforeAll(async () => {
    server = await startServer({ runtime });
    const connection = { apiKey: server.apiKey, apiUrl: server.url };
    [sandbox, neighbour] = await Promise.all([
      Sandbox.create(connection),
      Sandbox.create(connection),
    ]);
    watch = new OrchestratorWatch(server.pid, () => neighbour.commands.run("true"));
  });
  afterAll(async () => {
    watch?.[Symbol.dispose]();
    for (const socket of sockets) socket.terminate();
    await server?.[Symbol.asyncDispose]();
  });

  async function open(): Promise<{ socket: WebSocket; answers: Answer[] }> {
    const url = `${server.webSocketUrl}/agent/${sandbox.id}`;
    const socket = new WebSocket(url, { headers: server.headers });
    sockets.push(socket);
    const answers: Answer[] = [];
    socket.on("error", () => undefined);
    socket.on("message", (data: Buffer, isBinary) => {
      if (!isBinary) answers.push(JSON.parse(data.toString()) as Answer);
    });
    await once(socket, "open");
    return { socket, answers };
  }

  test("is answered for malformed frames, and the socket lives", async () => {
    const { socket, answers } = await open();
    const malformed = [
      ...["", "{", "null", "[]", '"exec"', "7", "{}", '{"id":1}', '{"id":2,"type":"nothing"}'],
      ...[
        '{"id":3,"type":"exec"}',
        '{"id":4,"type":"exec","cmd":7}',
        '{"id":5,"type":"__proto__"}',
      ],
      ...['{"id":6,"type":"constructor"}', '{"id":7,"type":"read","path":"a\\u0000b"}'],
      ...['{"id":8,"type":"exec","cmd":"true","env":{"__proto__":"x","A=B":"x"}}'],
      ...[`{"id":9,"type":"read","path":"${"x/".repeat(10_000)}"}`, "[".repeat(100_000)],
      ...[
        '{"id":{"toString":1},"type":"ping"}',
        '{"id":"10","type":"signal","processId":"x","signal":"rm"}',
      ],
    ];
    for (const frame of malformed) socket.send(frame);
    socket.send(Buffer.alloc(3));
    socket.send(Buffer.alloc(100, 0xff));
    socket.send('{"id":"last","type":"ping"}');
    const last = () => answers.find(({ id }) => id === "last");
    await waitFor(last, { describe: "the answer to what came after" });
    expect(last()?.type).toBe("pingResponse");
    for (const id of [2, 3, 4, 7, 9, "10"]) {
      expect(answers.find((answer) => answer.id === id)?.error?.code, String(id)).toMatch(
        /invalid_|not_found|process_/,
      );
    }
    expect(answers.filter(({ type }) => type === "error").length).toBeGreaterThanOrEqual(
      malformed.length - 1,
    );
  });

  test("is cut off at a frame that is too large, and only there", async () => {
    const { socket } = await open();
    const closed = once(socket, "close");
    const content = "x".repeat(LIMITS.rpcFrameBytes.value + 1024);
    socket.send(JSON.stringify({ id: 1, type: "write", path: "big", content }));
    await closed;
    expect((await sandbox.commands.run(["echo", "well"])).stdout).toBe("well\n");
  });

  test("gets an answer to each of thousands of requests at once, if only that there are too many", async () => {
    const { socket, answers } = await open();
    const count = 5_000;
    for (let id = 0; id < count; id += 1) socket.send(JSON.stringify({ id, type: "ping" }));
    for (let id = 0; id < 500; id += 1) {
      socket.send(JSON.stringify({ id: `run${id}`, type: "exec", cmd: "sleep", args: ["1"] }));
    }
    await waitFor(() => new Set(answers.map(({ id }) => id)).size === count + 500, {
      timeoutMs: 60_000,
      describe: "an answer to each",
    });
    const refused = answers.filter(({ error }) => error !== undefined);
    for (const { error } of refused)
      expect(error?.code).toMatch(/limit_reached|no_capacity|command_not_found|internal/);
    expect((await sandbox.commands.run(["echo", "well"])).stdout).toBe("well\n");
  });

  test("opens many connections, and the one too many is refused", async () => {
    const opened = await Promise.allSettled(
      Array.from({ length: LIMITS.rpcConnectionsPerSandbox.value + 44 }, () => open()),
    );
    expect(opened.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(100);
    for (const result of opened) if (result.status === "fulfilled") result.value.socket.terminate();
    await waitFor(async () => (await sandbox.commands.run(["echo", "well"])).stdout === "well\n", {
      timeoutMs: 30_000,
      describe: "the sandbox to answer again",
    });
  });

  test("that does not read holds up its command, and nobody's memory", async () => {
    const { socket, answers } = await open();
    socket.send(JSON.stringify({ id: 1, type: "start", shell: "head -c 2G /dev/zero; echo over" }));
    await waitFor(() => answers.some(({ type }) => type === "startResponse"), {
      describe: "the start",
    });
    socket.pause();
    const until = performance.now() + 3_000;
    await waitFor(() => performance.now() > until, { describe: "three seconds without reading" });
    const running = await sandbox.commands.list();
    expect(running.filter(({ ended }) => ended === undefined).length).toBeGreaterThan(0);
    expect((await sandbox.metrics()).memory.usedBytes).toBeLessThan(300 * 1024 * 1024);
    socket.terminate();
  });

  test("has not stopped, bloated or slowed the orchestrator", () => {
    const seen = watch.seen();
    expect(seen.failures).toEqual([]);
    expect(seen.growthMiB).toBeLessThan(GROWTH_MAX_MIB);
    expect(seen.slowestMs).toBeLessThan(ANSWER_MS_MAX);
  });
});
