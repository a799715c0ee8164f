/** The main command's log: kept, bounded, followed. */
import { LIMITS, type LogLine } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./agent-process.ts";
import { bind, control, linesOf, readLog, shell, textsOf, Events } from "./main-command.fixture.ts";

let agent: TestAgent;
beforeEach(async () => {
  agent = await startAgent();
});
afterEach(async () => {
  await control(agent, { action: "stop", graceMs: 0 });
  await agent[Symbol.asyncDispose]();
});

async function ended(script: string, maxRetries: number = 0): Promise<void> {
  const events = await Events.of(agent);
  await control(agent, { action: "start", main: shell(script, maxRetries) });
  await waitFor(() => ["exited", "failed"].includes(events.main.at(-1)?.state ?? ""), {
    describe: "the main command's end",
  });
}

/** Reads along until it is left. */
async function follow(query: string = "?follow=true") {
  const response = await agent.line.fetch(`/logs${query}`);
  let heard = "";
  response.on("data", (chunk: Buffer) => (heard += chunk.toString()));
  return {
    response,
    get lines(): LogLine[] {
      return linesOf(heard.slice(0, heard.lastIndexOf("\n") + 1));
    },
  };
}

test("both streams of all runs are kept, with the starts and ends between them", async () => {
  await ended("echo out; sleep 0.05; echo err >&2; sleep 0.05; printf 'no end'; exit 2", 1);
  const lines = await readLog(agent);
  expect(lines.map(({ stream, text }) => `${stream}: ${text.replace(/\d\.\d s/, "N s")}`)).toEqual([
    expect.stringMatching(/^system: started \/bin\/sh -c echo out/),
    "stdout: out",
    "stderr: err",
    "stdout: no end",
    "system: ended with exit code 2 after N s",
    "system: starting again in 100 ms, retry 1 of 1",
    expect.stringMatching(/^system: started \/bin\/sh -c echo out/),
    "stdout: out",
    "stderr: err",
    "stdout: no end",
    "system: ended with exit code 2 after N s",
    "system: given up after 1 of 1 retries",
  ]);
  const times = lines.map(({ at }) => Date.parse(at));
  expect(times).toEqual(times.toSorted((left, right) => left - right));
});

test("tail gives the last lines, all, or none", async () => {
  await ended("seq 1 5000");
  expect((await readLog(agent, "?tail=3")).map(({ text }) => text)).toEqual([
    "4999",
    "5000",
    expect.stringMatching(/^ended with exit code 0/),
  ]);
  expect(await readLog(agent, "?tail=0")).toEqual([]);
  expect(await readLog(agent, "?tail=99999")).toEqual(await readLog(agent));
  expect(textsOf(await readLog(agent), "stdout")).toHaveLength(5000);
});

test.each(["?tail=-1", "?tail=x", "?tail=12345678", "?follow=maybe"])(
  "a query %s is refused",
  async (query) => {
    const response = await agent.line.fetch(`/logs${query}`);
    expect(response.statusCode).toBe(400);
    response.destroy();
  },
);

test("who follows gets what there is and what comes, over a restart", async () => {
  const script = "echo run; exec sleep 600";
  await bind(agent, { main: shell(script) });
  await waitFor(async () => (await readLog(agent)).length === 2);
  const follower = await follow();
  const tailing = await follow("?follow=true&tail=0");
  await waitFor(() => follower.lines.length === 2);
  await control(agent, { action: "restart" });
  await waitFor(() => textsOf(follower.lines, "stdout").join() === "run,run");
  await waitFor(() => textsOf(tailing.lines, "stdout").join() === "run");
  follower.response.destroy();
  tailing.response.destroy();
});

test("an unfinished line is shown after a quiet moment, and characters are never torn", async () => {
  const follower = await follow();
  // A euro sign in two writes, the second one after the quiet moment.
  const script = "printf 'ask \\342\\202'; sleep 0.8; printf '\\254?'; exec sleep 600";
  await bind(agent, { main: shell(script) });
  await waitFor(() => textsOf(follower.lines, "stdout").length === 2);
  expect(textsOf(follower.lines, "stdout")).toEqual(["ask ", "€?"]);
  follower.response.destroy();
});

test("a line without end comes in pieces of whole characters", async () => {
  const count = 60_000;
  await ended(`yes € | head -n ${count} | tr -d '\\n'`);
  const texts = textsOf(await readLog(agent), "stdout");
  expect(texts.length).toBeGreaterThan(1);
  expect(texts.join("")).toBe("€".repeat(count));
  for (const text of texts) {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(LIMITS.mainLogLineBytes.value);
  }
});

test("line ends of other systems and bytes that are no text do no harm", async () => {
  await ended("printf 'one\\r\\n\\377\\376\\nthree\\n\\n'");
  expect(textsOf(await readLog(agent), "stdout")).toEqual(["one", "\ufffd\ufffd", "three", ""]);
});

test("only the newest output is kept, and what is missing is told", async () => {
  await ended("seq 1 1500000");
  const lines = await readLog(agent);
  const [first, second, ...rest] = lines;
  expect(first?.stream).toBe("system");
  const missing = Number(/^(\d+) bytes of output are missing/.exec(first?.text ?? "")?.[1]);
  const numbers = [second, ...rest].filter((line) => line?.stream === "stdout");
  const shown = numbers.map((line) => Number(line?.text));
  expect(shown.at(-1)).toBe(1_500_000);
  expect(shown.every((number, index) => number === (shown[0] ?? 0) + index)).toBe(true);
  expect(missing).toBeGreaterThan(5_000_000);
  const keptBytes = shown.join("\n").length;
  expect(keptBytes).toBeLessThan(LIMITS.mainLogBytes.value);
  expect(keptBytes).toBeGreaterThan(LIMITS.mainLogBytes.value / 2);
});

const residentBytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;

test("a follower that does not read slows nothing, costs nothing, and hears what it missed", async () => {
  const follower = await agent.line.fetch("/logs?follow=true");
  follower.pause();
  const before = residentBytes(agent.child.pid ?? 0);
  const megabytes = 300;
  await ended(`yes "a line of some length that is printed over and over" | head -c ${megabytes}M`);
  expect(residentBytes(agent.child.pid ?? 0) - before).toBeLessThan(64 * 1024 ** 2);
  const last = (await readLog(agent, "?tail=1")).map(({ text }) => text);
  expect(last).toEqual([expect.stringMatching(/^ended with exit code 0/)]);
  let heard = "";
  follower.on("data", (chunk: Buffer) => (heard += chunk.toString())).resume();
  await waitFor(() => heard.includes("ended with exit code"));
  const missed = linesOf(heard).flatMap(({ text }) => {
    const match = /^(\d+) bytes of output are missing here/.exec(text);
    return match === null ? [] : [Number(match[1])];
  });
  const printed = textsOf(linesOf(heard), "stdout").reduce((sum, text) => sum + text.length + 1, 0);
  const total = megabytes * 1024 ** 2 + Buffer.byteLength(last.join(""));
  expect(missed.length).toBeGreaterThan(0);
  const missedBytes = missed.reduce((sum, bytes) => sum + bytes, 0);
  // Lines that were cut where something is missing are shown from their next one on.
  expect(Math.abs(total - printed - missedBytes)).toBeLessThan(1_000 * (missed.length + 1));
  follower.destroy();
});
