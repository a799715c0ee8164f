import { describe, expect, test } from "vitest";
import { SandboxConnectionError, SandboxValidationError } from "../errors.ts";
import {
  facts,
  answerOf,
  boolean,
  date,
  integer,
  list,
  modelOf,
  object,
  oneOf,
  optional,
  record,
  requestOf,
  size,
  text,
  withDefault,
} from "./shape.ts";

interface Thing {
  firstName: string;
  maxRetries?: number | undefined;
  kind?: "a" | "b" | undefined;
  tags?: Record<string, string> | undefined;
  innerParts?: { sizeText: string }[] | undefined;
  at?: Date | undefined;
}
const thing = object<Thing>({
  firstName: text,
  maxRetries: optional(integer(0, 3)),
  kind: withDefault(oneOf("a", "b"), "a"),
  tags: optional(record(text)),
  innerParts: optional(list(object({ sizeText: size("1m", "1g") }))),
  at: optional(date),
});

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("shapes", () => {
  test("a request becomes snake_case, keys of the caller's own stay", () => {
    const at = new Date("2026-01-02T03:04:05Z");
    const value = { firstName: "x", tags: { someKey: "v" }, innerParts: [{ sizeText: "2m" }], at };
    expect(JSON.parse(JSON.stringify(requestOf(thing, value)))).toEqual({
      first_name: "x",
      tags: { someKey: "v" },
      inner_parts: [{ size_text: "2m" }],
      at: "2026-01-02T03:04:05.000Z",
    });
  });

  test("an answer becomes camelCase, and what a newer server adds is left out", () => {
    const answer = { first_name: "x", tags: { some_key: "v" }, at: "2026-01-02T03:04:05Z", new: 1 };
    expect(answerOf(thing, answer, "GET /thing")).toEqual({
      firstName: "x",
      maxRetries: undefined,
      kind: undefined,
      tags: { some_key: "v" },
      innerParts: undefined,
      at: new Date("2026-01-02T03:04:05Z"),
    });
  });

  test("facts get names in camelCase at every depth, and keep their values", () => {
    const event = object({ data: facts });
    const answer = { data: { exit_code: 3, error: { last_words: ["a_b", { so_on: 1 }] } } };
    expect(answerOf(event, answer, "GET /event")).toEqual({
      data: { exitCode: 3, error: { lastWords: ["a_b", { soOn: 1 }] } },
    });
    expect(() => answerOf(event, { data: [] }, "GET /event")).toThrow(/data/);
  });

  test("a model keeps its spelling and gets its defaults", () => {
    expect(modelOf(thing, { firstName: "x" })).toMatchObject({ firstName: "x", kind: "a" });
  });

  test.each([
    [{}, "firstName", "firstName is missing: it must be text"],
    [{ firstName: 7 }, "firstName", "firstName must be text, not 7"],
    [{ firstName: "x", maxRetries: 4 }, "maxRetries", "a whole number from 0 to 3, not 4"],
    [{ firstName: "x", maxRetries: 1.5 }, "maxRetries", "a whole number from 0 to 3"],
    [{ firstName: "x", max_retries: 1 }, "max_retries", "is spelled maxRetries here"],
    [{ firstName: "x", color: 1 }, "color", "is no field; there are firstName, maxRetries"],
    [{ firstName: "x", kind: "c" }, "kind", '"a" or "b", not "c"'],
    [{ firstName: "x", tags: { a: 1 } }, "tags.a", "must be text"],
    [
      { firstName: "x", innerParts: [{ sizeText: "2g" }] },
      "innerParts[0].sizeText",
      "a size from 1m to 1g",
    ],
    [{ firstName: "x", at: new Date(Number.NaN) }, "at", "a valid Date"],
    [null, "", "must be an object, not null"],
  ])("%j is refused, naming %s as the caller spells it", (value, field, message) => {
    const error = thrownBy(() => requestOf(thing, value));
    expect(error).toBeInstanceOf(SandboxValidationError);
    expect(error).toMatchObject({ code: "invalid_request", details: { field } });
    expect(String(error)).toContain(message);
  });

  test.each([
    [undefined, "it is missing"],
    ["<html>", "must be an object"],
    [{ first_name: null }, "first_name must be text, not null"],
    [{ first_name: "x", max_retries: "1" }, "max_retries must be a whole number"],
    [{ first_name: "x", at: "soon" }, "at must be a time"],
    [{ first_name: "x", inner_parts: {} }, "inner_parts must be a list"],
  ])("the answer %j is an error that names request and field", (value, message) => {
    const error = thrownBy(() => answerOf(thing, value, "GET /thing"));
    expect(error).toBeInstanceOf(SandboxConnectionError);
    expect(error).toMatchObject({ code: "invalid_answer" });
    expect(String(error)).toContain("the answer to GET /thing");
    expect(String(error)).toContain(message);
  });

  test("names of an answer cannot reach a prototype", () => {
    const answer = JSON.parse('{"__proto__":"x"}') as unknown;
    const read = answerOf(record(text), answer, "GET /thing");
    expect(Object.keys(read)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    const inherited = answerOf(object({ toString: optional(text) }), {}, "GET /thing");
    expect(inherited.toString).toBeUndefined();
  });

  test("long values are cut in messages", () => {
    const error = thrownBy(() => requestOf(object({ on: boolean }), { on: "x".repeat(10_000) }));
    expect(String(error).length).toBeLessThan(200);
  });
});
