import { type MachineId, type SandboxId, SANDBOX_STATES } from "@insien/protocol";
import type { Machine } from "@insien/runtime";
import { describe, expect, test } from "vitest";
import { type Observed, plan } from "./plan.ts";

const sandbox = "sandbox1" as SandboxId;
const machineId = "machine1" as MachineId;

const machine = (over: Partial<Machine> = {}): Machine => ({
  machineId,
  state: "running",
  templateName: "base",
  fingerprint: "f",
  labels: { purpose: "sandbox" },
  createdAt: new Date(0),
  ...over,
});

const observe = (over: Partial<Observed>): Observed => ({
  wanted: [],
  machines: [],
  isBusy: () => false,
  isInFlight: () => false,
  isPooled: () => false,
  ...over,
});

describe("plan()", () => {
  test("keeps a running sandbox whose machine runs", () => {
    const observed = observe({
      wanted: [{ id: sandbox, state: "running", machineId }],
      machines: [machine()],
    });
    expect(plan(observed)).toEqual([{ type: "adopt", id: sandbox, machineId }]);
  });

  test("fails a running sandbox with the reason its machine ended", () => {
    const exited = machine({ state: "exited", exitReason: "killed: out of memory" });
    const observed = observe({
      wanted: [{ id: sandbox, state: "running", machineId }],
      machines: [exited],
    });
    expect(plan(observed)).toEqual([
      { type: "fail", id: sandbox, reason: "The machine ended: killed: out of memory" },
    ]);
  });

  test("removes a machine that no sandbox owns, but offers a warm one to the pool", () => {
    const warm = machine({ machineId: "warm1" as MachineId, labels: { purpose: "pool" } });
    const actions = plan(observe({ machines: [machine(), warm] }));
    expect(actions).toEqual([
      { type: "removeMachine", machineId, reason: "It belongs to no sandbox" },
      { type: "offerToPool", machine: warm },
    ]);
  });

  test("leaves alone what a call is working on and what the pool holds", () => {
    const wanted = [{ id: sandbox, state: "creating" as const, machineId: undefined }];
    expect(plan(observe({ wanted, isBusy: () => true }))).toEqual([]);
    expect(plan(observe({ machines: [machine()], isInFlight: () => true }))).toEqual([]);
    expect(plan(observe({ machines: [machine()], isPooled: () => true }))).toEqual([]);
  });

  test("finishes a destroy even when the machine is gone already", () => {
    const wanted = [{ id: sandbox, state: "destroying" as const, machineId }];
    expect(plan(observe({ wanted }))).toEqual([{ type: "finishDestroy", id: sandbox, machineId }]);
  });

  test("clears away what a failed sandbox left, until its row names no machine", () => {
    const wanted = [{ id: sandbox, state: "failed" as const, machineId }];
    const finish = [{ type: "finishFail", id: sandbox }];
    expect(plan(observe({ wanted, machines: [machine()] }))).toEqual(finish);
    expect(plan(observe({ wanted }))).toEqual(finish);
    expect(
      plan(observe({ wanted: [{ id: sandbox, state: "failed", machineId: undefined }] })),
    ).toEqual([]);
  });

  test.each(SANDBOX_STATES)(
    "never leaves the machine of a %s sandbox to be removed as nobody's",
    (state) => {
      const wanted = [{ id: sandbox, state, machineId }];
      const removals = plan(observe({ wanted, machines: [machine()] })).filter(
        (action) => action.type === "removeMachine",
      );
      expect(removals.every((action) => action.reason !== "It belongs to no sandbox")).toBe(true);
    },
  );
});
