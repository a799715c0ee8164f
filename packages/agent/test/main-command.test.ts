/** The sandbox's main command under a real agent: started, started again, ended. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LIMITS } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { restartPauseMs } from "../src/main-command/restart-pause.ts";
import { startAgent, type TestAgent } from "./agent-process.ts";
import { Events, bind, control, readLog, shell, textsOf } from "./main-command.fixture.ts";
import { RpcClient } from "./rpc-client.ts";

let agent: TestAgent;
let directory: string;
beforeEach(async () => {
  agent = await startAgent();
  directory = await mkdtemp(join(tmpdir(), "insien-main-"));
});
afterEach(async () => {
  await control(agent, { action: "stop", graceMs: 0 });
  await agent[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("a binding starts it with the sandbox's environment, and counts as activity", async () => {
  const events = await Events.of(agent);
  const main = shell("echo $COLOUR in $PWD as $HOME; exec sleep 600");
  expect(await bind(agent, { env: { COLOUR: "blue" }, main })).toBe(204);
  expect(await events.state("running")).toMatchObject({ restarts: 0, maxRetries: 0 });
  await waitFor(() => events.commands === 1, { describe: "activity" });
  const [line = ""] = await waitFor(async () => {
    const lines = textsOf(await readLog(agent), "stdout");
    return lines.length > 0 && lines;
  });
  expect(line).toMatch(/^blue in (\S+) as \1$/);
});

test("binding again leaves it alone; the next command and the next start have the new environment", async () => {
  const events = await Events.of(agent);
  const main = shell("echo $COLOUR; exec sleep 600", 5);
  await bind(agent, { env: { COLOUR: "blue" }, main });
  await events.state("running");
  const client = new RpcClient(await agent.line.rpc());
  const [before] = (await client.call("list", {})).processes;
  await bind(agent, { env: { COLOUR: "red" }, main });
  expect(await client.call("exec", { shell: "echo $COLOUR" })).toMatchObject({ stdout: "red\n" });
  const [after] = (await client.call("list", {})).processes.filter(({ ended }) => !ended);
  expect(after?.pid).toBe(before?.pid);
  expect(await control(agent, { action: "restart" })).toMatchObject({
    state: "running",
    restarts: 0,
  });
  await waitFor(async () => textsOf(await readLog(agent), "stdout").join() === "blue,red");
  client.socket.terminate();
});

test("another command in a later binding waits for the next start", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell("echo first; exec sleep 600") });
  await events.state("running");
  await bind(agent, { main: shell("echo second; exec sleep 600") });
  expect(events.main).toHaveLength(1);
  await control(agent, { action: "restart" });
  await waitFor(async () => textsOf(await readLog(agent), "stdout").join() === "first,second");
});

test("one that ended well is not started again, by a binding neither", async () => {
  const events = await Events.of(agent);
  const main = shell("exit 0", 5);
  await bind(agent, { main });
  expect(await events.state("exited")).toMatchObject({ exitCode: 0, restarts: 0 });
  await bind(agent, { main });
  expect(await control(agent, { action: "stop" })).toMatchObject({ state: "exited" });
  expect(events.main.map(({ state }) => state)).toEqual(["running", "exited"]);
});

test("a failing one is started again with growing pauses until its retries are used up", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell("exit 7", 3) });
  expect(await events.state("failed")).toMatchObject({ exitCode: 7, restarts: 3, maxRetries: 3 });
  expect(events.main.map(({ state }) => state).join(" ")).toBe(
    "running waiting running waiting running waiting running failed",
  );
  const pauses = events.main.flatMap((event, index) => {
    const next = events.main[index + 1];
    if (event.state !== "waiting" || next === undefined) return [];
    return [Date.parse(next.at) - Date.parse(event.at)];
  });
  for (const [index, pause] of pauses.entries()) {
    // Timers and clocks may differ by a millisecond.
    expect(pause).toBeGreaterThanOrEqual(restartPauseMs(index) - 2);
  }
  const system = textsOf(await readLog(agent), "system");
  expect(system.filter((line) => line.startsWith("ended with exit code 7"))).toHaveLength(4);
  expect(system).toContain("starting again in 400 ms, retry 3 of 3");
  expect(system.at(-1)).toBe("given up after 3 of 3 retries");
});

test("the pauses double up to their bound", () => {
  const pauses = [0, 1, 2, 8, 9, 1_000].map(restartPauseMs);
  expect(pauses).toEqual([100, 200, 400, 25_600, 30_000, LIMITS.mainRestartPauseMs.value]);
});

test("one that a signal ends, and one that cannot be started, are failures", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell("kill -9 $$", 1) });
  expect(await events.state("failed")).toMatchObject({ signal: "SIGKILL", restarts: 1 });
  const started = await control(agent, {
    action: "start",
    main: { argv: ["no-such-program"], maxRetries: 1 },
  });
  expect(started).toMatchObject({ state: "waiting", restarts: 0 });
  const failed = await waitFor(() => {
    const last = events.main.at(-1);
    return last?.state === "failed" && last.error !== undefined && last;
  });
  expect(failed).toMatchObject({ restarts: 1 });
  expect(failed.error).toContain("no-such-program");
});

test("a stop is SIGTERM to its group, and SIGKILL for what does not go", async () => {
  const events = await Events.of(agent);
  const deaf = 'trap "" TERM; echo $$ > pid; while :; do sleep 0.05; done';
  await bind(agent, { main: shell(`cd ${directory}; ${deaf}`, 5) });
  const pid = await waitFor(async () => Number(await readFile(join(directory, "pid"), "utf8")));
  expect(await control(agent, { action: "stop", graceMs: 150 })).toMatchObject({
    state: "stopped",
    signal: "SIGKILL",
  });
  expect(isAlive(pid)).toBe(false);
  expect(events.main.map(({ state }) => state)).toEqual(["running", "stopped"]);
  const polite = shell('trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done', 5);
  await control(agent, { action: "start", main: polite });
  await waitFor(async () => textsOf(await readLog(agent), "stdout").includes("ready"));
  expect(await control(agent, { action: "stop" })).toMatchObject({ state: "stopped", exitCode: 3 });
  expect(textsOf(await readLog(agent), "stdout")).toContain("bye");
});

test("what a failed run left behind is ended before the next", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell(`sleep 600 & echo $! > ${directory}/pid; exit 1`) });
  await events.state("failed");
  const pid = Number(await readFile(join(directory, "pid"), "utf8"));
  await waitFor(() => !isAlive(pid), { describe: "the left process to end" });
});

test("a stop while it waits for its next start ends the waiting", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell("exit 1", 100) });
  await events.state("waiting", 2);
  expect(await control(agent, { action: "stop" })).toMatchObject({ state: "stopped" });
  const heard = events.main.length;
  expect(await control(agent, { action: "restart" })).toMatchObject({ restarts: 0 });
  expect(events.main.length).toBeGreaterThanOrEqual(heard);
});

test("start replaces another command and leaves the same one alone", async () => {
  const events = await Events.of(agent);
  const first = shell("exec sleep 601");
  const second = shell("exec sleep 602");
  await control(agent, { action: "start", main: first });
  await control(agent, { action: "start", main: first });
  await control(agent, { action: "start", main: second });
  await waitFor(() => events.main.length === 3);
  expect(events.main.map(({ state }) => state)).toEqual(["running", "stopped", "running"]);
});

test("a newcomer on the events is told the present state", async () => {
  const events = await Events.of(agent);
  await bind(agent, { main: shell("exit 4") });
  const failed = await events.state("failed");
  const newcomer = await Events.of(agent);
  expect(await newcomer.state("failed")).toEqual(failed);
});

test("it is listed as main, and can be attached to like any command", async () => {
  await bind(agent, { main: shell("echo hello; exec sleep 600") });
  const client = new RpcClient(await agent.line.rpc());
  const listed = (await client.call("list", {})).processes.find(({ tag }) => tag === "main");
  expect(listed).toMatchObject({ background: true });
  const { channel } = await client.call("attach", { processId: listed?.processId ?? "" });
  await waitFor(() => client.output("stdout", channel).toString() === "hello\n");
  client.socket.terminate();
});

test("the end of the agent is the end of it, and not a failure to start over from", async () => {
  await using other = await startAgent();
  const script = `echo $$ > ${directory}/pid; trap "echo term >> ${directory}/pid; exit 1" TERM; while :; do sleep 0.05; done`;
  await bind(other, { main: shell(script, 100) });
  const pid = await waitFor(async () => {
    const [line] = (await readFile(join(directory, "pid"), "utf8")).split("\n");
    return Number(line) > 0 && Number(line);
  });
  other.child.kill("SIGTERM");
  await waitFor(() => other.child.exitCode !== null);
  expect(isAlive(pid)).toBe(false);
  expect(await readFile(join(directory, "pid"), "utf8")).toBe(`${pid}\nterm\n`);
});

test.each([
  ["start"],
  [{ action: "dance" }],
  [{ action: "start" }],
  [{ action: "start", main: { argv: [], maxRetries: 0 } }],
  [{ action: "start", main: { argv: ["a\0b"], maxRetries: 0 } }],
  [{ action: "start", main: { argv: ["true"], maxRetries: -1 } }],
  [{ action: "start", main: { argv: ["true"], maxRetries: 1e9 } }],
  [{ action: "stop", graceMs: 1e12 }],
])("nonsense is refused: %j", async (body) => {
  const answer = await control(agent, body as never);
  expect(answer).toMatchObject({ error: { code: "invalid_request" } });
});

test("there is nothing to restart where nothing was ever started", async () => {
  const answer = await control(agent, { action: "restart" });
  expect(answer).toMatchObject({ error: { code: "process_not_found" } });
});
