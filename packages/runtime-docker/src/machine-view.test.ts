import { expect, test } from "vitest";
import type { MachineId } from "@insien/protocol";
import { exitReasonOf, machineOf } from "./machine-view.ts";

const state = { Status: "exited", ExitCode: 0, OOMKilled: false, Error: "" };

test.each([
  [{ ExitCode: 0 }, "", "agent exited with code 0"],
  [{ ExitCode: 137 }, "", "agent killed by SIGKILL"],
  [{ ExitCode: 137, OOMKilled: true }, "", "killed: out of memory"],
  // A command was killed for memory earlier; the agent's own end had another reason.
  [{ ExitCode: 1, OOMKilled: true }, "", "agent exited with code 1"],
  [{ ExitCode: 1 }, "x\nTypeError: no\n  at y", "agent exited with code 1: TypeError: no\n  at y"],
  [{ ExitCode: 127, Error: "no such file" }, "", "could not be started: no such file"],
  [{ Status: "created" }, "", "its first process was never started"],
])("%j with the words %j is told as %j", (changes, words, reason) => {
  expect(exitReasonOf({ ...state, ...changes }, words)).toBe(reason);
});

test("a container that ended under its stopped name was stopped", () => {
  const machineId = "abc123" as MachineId;
  const labels = { "insien.machine": machineId, "insien.label.insien.owner": "mine" };
  const ended = { labels, running: false, exitReason: "agent exited with code 0" };
  const stopped = machineOf({ ...ended, name: "insien-abc123-stopped" });
  expect(stopped).toMatchObject({
    machineId,
    state: "stopped",
    labels: { "insien.owner": "mine" },
  });
  expect(stopped.exitReason).toBeUndefined();
  expect(machineOf({ ...ended, name: "insien-abc123" }).state).toBe("exited");
  expect(machineOf({ ...ended, running: true, name: "insien-abc123-stopped" }).state).toBe(
    "running",
  );
});
