import { readFileSync } from "node:fs";
import { SANDBOX_STATES, type SandboxState } from "@insien/protocol";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { next, SANDBOX_EVENTS, TRANSITIONS, type SandboxEventName } from "./sandbox-state.ts";

const events = fc.array(fc.constantFrom(...SANDBOX_EVENTS), { maxLength: 30 });

/** Every state that a sandbox passes through, the first included. */
function walk(from: SandboxState, sequence: readonly SandboxEventName[]): SandboxState[] {
  const states = [from];
  for (const event of sequence) {
    const state = states.at(-1) ?? from;
    const step = next(state, event);
    states.push(step.kind === "move" ? step.state : state);
  }
  return states;
}

describe("whatever happens to a sandbox", () => {
  test("once destroyed it stays destroyed", () => {
    fc.assert(
      fc.property(events, events, (before, after) => {
        const [, ...rest] = walk(
          walk("creating", [...before, "destroyRequested", "destroyed"]).at(-1) ?? "creating",
          after,
        );
        expect(rest.every((state) => state === "destroyed")).toBe(true);
      }),
    );
  });

  test("once failed it can only be destroyed", () => {
    fc.assert(
      fc.property(events, (sequence) => {
        const ends: SandboxState[] = ["failed", "destroying", "destroyed"];
        expect(walk("failed", sequence).every((state) => ends.includes(state))).toBe(true);
      }),
    );
  });

  test("destroying ends in destroyed and nothing else", () => {
    fc.assert(
      fc.property(events, (sequence) => {
        const ends: SandboxState[] = ["destroying", "destroyed"];
        expect(walk("destroying", sequence).every((state) => ends.includes(state))).toBe(true);
      }),
    );
  });

  test("it can always be destroyed in two steps", () => {
    fc.assert(
      fc.property(events, (sequence) => {
        expect(walk("creating", [...sequence, "destroyRequested", "destroyed"]).at(-1)).toBe(
          "destroyed",
        );
      }),
    );
  });

  test("it runs only after its machine was ready", () => {
    fc.assert(
      fc.property(events, (sequence) => {
        const states = walk("creating", sequence);
        states.forEach((state, index) => {
          const began = state === "running" && states[index - 1] !== "running" && index > 0;
          if (began) expect(sequence[index - 1]).toBe("machineReady");
        });
      }),
    );
  });

  test("losing the machine leaves nothing that claims to have one", () => {
    fc.assert(
      fc.property(events, (sequence) => {
        const state = walk("creating", [...sequence, "machineLost"]).at(-1);
        expect(["failed", "destroying", "destroyed"]).toContain(state);
      }),
    );
  });

  test("asking twice is as good as asking once", () => {
    const requests = SANDBOX_EVENTS.filter((event) => event.endsWith("Requested"));
    for (const state of SANDBOX_STATES) {
      for (const request of requests) {
        const first = next(state, request);
        if (first.kind === "move")
          expect(next(first.state, request), `${state} ${request}`).toEqual({ kind: "ignore" });
      }
    }
  });
});

test("a refusal names the sandbox and says what to do first", () => {
  const step = next("stopping", "startRequested");
  if (step.kind !== "refuse")
    throw new Error("starting a sandbox that is being stopped must be refused");
  const error = step.error("abc123");
  expect(error.code).toBe("sandbox_state");
  expect(error.message).toBe("Sandbox abc123 is being stopped: wait for that, then start it");
});

test("a refusal by a failed sandbox tells why it failed", () => {
  const step = next("failed", "startRequested");
  if (step.kind !== "refuse") throw new Error("starting a failed sandbox must be refused");
  const error = step.error("abc123", "The machine ended: killed: out of memory");
  expect(error.code).toBe("sandbox_failed");
  expect(error.message).toBe("Sandbox abc123 failed: The machine ended: killed: out of memory");
});

test("docs/sandbox-states.md shows this table", () => {
  const page = readFileSync(new URL("../../../../docs/sandbox-states.md", import.meta.url), "utf8");
  expect(page).toContain(table());
});

/** One row for each event, one column for each state, as the document has it. */
function table(): string {
  const cell = (state: SandboxState, event: SandboxEventName): string => {
    const outcome = TRANSITIONS[state][event];
    if (outcome === "ignore") return "·";
    if (outcome === "refuse") return "refused";
    return outcome === state ? "stays" : `**${outcome}**`;
  };
  const rows = SANDBOX_EVENTS.map((event) =>
    [`\`${event}\``, ...SANDBOX_STATES.map((state) => cell(state, event))].join(" | "),
  );
  const head = ["event \\ state", ...SANDBOX_STATES].join(" | ");
  const line = ["---", ...SANDBOX_STATES.map(() => "---")].join(" | ");
  return [head, line, ...rows].map((row) => `| ${row} |`).join("\n");
}
