import type { AgentEvent, SandboxId } from "@insien/protocol";
import { describe, expect, test } from "vitest";
import { executionEvent } from "./execution-event.ts";

const id = "abcd1234" as SandboxId;
const started = (fields: Record<string, unknown>): AgentEvent =>
  ({
    type: "started",
    processId: "p",
    command: ["ls"],
    cwd: "/",
    user: "user",
    ...fields,
  }) as AgentEvent;

describe("what is recorded of an agent's event", () => {
  test("is nothing for what is no command's beginning or end", () => {
    const at = new Date().toISOString();
    expect(executionEvent(id, { type: "heartbeat", at })).toBeUndefined();
    expect(executionEvent(id, { type: "activity", commands: 1, terminals: 0, at })).toBeUndefined();
  });

  test("holds nothing that a database refuses", () => {
    const command = ["a\0b", "\ud800", 7, { toString: 1 }, "x".repeat(10_000)];
    const event = executionEvent(id, started({ command, cwd: 5 }));
    expect(event?.data?.["command"]).toEqual(["a\uFFFDb", "\uFFFD", "", "", "x".repeat(256)]);
    expect(event?.data?.["cwd"]).toBe("");
  });

  test("is bounded, and only of known fields", () => {
    const command = Array.from({ length: 1000 }, () => "x");
    const event = executionEvent(id, started({ command, more: "x".repeat(1_000_000) }));
    expect(event?.data?.["command"]).toHaveLength(32);
    expect(Object.keys(event?.data ?? {})).toEqual([
      "process_id",
      "command",
      "cwd",
      "user",
      "background",
    ]);
  });

  test("tells a command's end in the words and whole numbers of the wire", () => {
    const ended = { type: "ended", processId: "p", exitCode: 3, durationMs: 12.6, stdoutBytes: 4 };
    expect(executionEvent(id, ended as AgentEvent)?.data).toEqual({
      process_id: "p",
      exit_code: 3,
      duration_ms: 13,
      stdout_bytes: 4,
    });
  });

  test("has a time of our own where the agent's is none", () => {
    for (const at of ["never", 12, "+275760-09-13T00:00:00.000Z", undefined]) {
      const recorded = executionEvent(id, started({ at }))?.at?.getTime() ?? 0;
      expect(Math.abs(recorded - Date.now())).toBeLessThan(60_000);
    }
    const at = new Date(Date.now() - 5000);
    expect(executionEvent(id, started({ at: at.toISOString() }))?.at).toEqual(at);
  });
});
