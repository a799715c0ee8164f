import type { AgentEvent, SandboxId } from "@insien/protocol";
import { describe, expect, test } from "vitest";
import { mainEvent, mainStatusOf, ofStoppedMachine } from "./main-event.ts";

const at = new Date().toISOString();
const event = (over: object = {}): AgentEvent => ({
  ...{ type: "main", state: "running", restarts: 1, maxRetries: 3, at },
  ...over,
});

describe("what an agent says of a main command", () => {
  test("becomes its status and an event", () => {
    const status = mainStatusOf(event({ state: "failed", exitCode: 7 }));
    const known = { state: "failed", restarts: 1, max_retries: 3, exit_code: 7, changed_at: at };
    expect(status).toEqual(known);
    if (status === undefined) throw new Error("no status");
    expect(mainEvent("sandbox1" as SandboxId, status)).toEqual({
      sandboxId: "sandbox1",
      type: "main.failed",
      at: new Date(at),
      data: { restarts: 1, max_retries: 3, exit_code: 7 },
    });
  });

  test.each([
    { state: "exploded" },
    { state: { running: true } },
    { restarts: -1 },
    { restarts: 1e300 },
    { restarts: "1" },
    { maxRetries: undefined },
    { maxRetries: Number.NaN },
  ])("is not taken where it makes no sense: %j", (over) => {
    expect(mainStatusOf(event(over))).toBeUndefined();
  });

  test("is bounded, in characters that a database stores, and of about now", () => {
    const hostile = { signal: { a: 1 }, exitCode: 2.5, more: "x", at: "9999-01-01" };
    const status = mainStatusOf(event({ ...hostile, error: `\0\ud800${"x".repeat(1_000_000)}` }));
    expect(status?.error?.length).toBeLessThanOrEqual(4096);
    expect(status?.error).toMatch(/^\uFFFD\uFFFDx/);
    expect(Object.keys(status ?? {}).toSorted()).toEqual(
      ["changed_at", "error", "max_retries", "restarts", "signal", "state"].toSorted(),
    );
    expect(status?.signal).toBe("");
    expect(Math.abs(new Date(status?.changed_at ?? 0).getTime() - Date.now())).toBeLessThan(60_000);
  });

  test("is nothing where it is about something else", () => {
    expect(mainStatusOf({ type: "heartbeat", at })).toBeUndefined();
  });
});

test("with its machine stopped a main command does not run, and how it ended stays known", () => {
  const running = mainStatusOf(event()) ?? expect.fail();
  const now = new Date();
  const stopped = { ...running, state: "stopped", changed_at: now.toISOString() };
  expect(ofStoppedMachine(running, now)).toEqual(stopped);
  expect(ofStoppedMachine({ ...running, state: "waiting", exit_code: 3 }, now)).toEqual(stopped);
  const failed = { ...running, state: "failed" as const, exit_code: 3 };
  expect(ofStoppedMachine(failed, now)).toBe(failed);
});
