import { rpcRequests, type RpcType } from "@insien/protocol";
import { expect, test } from "vitest";
import { REQUEST_SHAPES } from "./request-shapes.ts";
import { mismatch } from "./shape.ts";

const cases: [RpcType, Record<string, unknown>][] = [
  ["exec", { cmd: "ls", args: ["a"], env: { A: "b" }, timeoutMs: 5 }],
  ["exec", { cmd: "ls", more: "fields are let pass" }],
  ["exec", { cmd: "" }],
  ["exec", { cmd: 1 }],
  ["exec", { args: ["a", 2] }],
  ["exec", { env: { "A=": "b" } }],
  ["exec", { env: { A: "b\0" } }],
  ["exec", { env: [] }],
  ["exec", { timeoutMs: -1 }],
  ["exec", { timeoutMs: 1.5 }],
  ["exec", { encoding: "latin1" }],
  ["start", { background: "yes" }],
  ["attach", {}],
  ["attach", { processId: "x", stdoutOffset: 3 }],
  ["signal", { processId: "x", signal: "term" }],
  ["signal", { processId: "x", signal: "SIGTERM" }],
  ["write", { path: "a\0b", content: "" }],
  ["write", { path: "a", content: "", mode: 0o1777 }],
  ["write", { path: "x".repeat(5000), content: "" }],
  ["terminalResize", { terminalId: "x", cols: 0, rows: 1 }],
  ["ping", {}],
];

test.each(cases)("agrees with the schema of %s about %j", (type, fields) => {
  for (const id of [1, "one", undefined, {}, "x".repeat(200)]) {
    const request = { ...fields, type, ...(id === undefined ? {} : { id }) };
    const accepted = mismatch(REQUEST_SHAPES[type], request) === undefined;
    expect(accepted).toBe(rpcRequests[type].safeParse(request).success);
  }
});

test("names the field that is wrong", () => {
  const request = { id: 1, type: "exec", cmd: "ls", env: { GOOD: "1", BAD: 2 } };
  expect(mismatch(REQUEST_SHAPES.exec, request)).toEqual({
    field: "env.BAD",
    message: "must be a text",
  });
});
