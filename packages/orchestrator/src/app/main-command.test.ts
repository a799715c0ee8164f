import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mainCommand } from "./main-command.ts";

const argvOf = (entrypoint?: string | string[], command?: string | string[]) =>
  mainCommand({ entrypoint, command, maxRetries: 0 })?.argv;

describe("mainCommand()", () => {
  test("there is none without entrypoint and command", () => {
    expect(argvOf()).toBeUndefined();
  });

  test("lists are put together and taken as they are", () => {
    expect(argvOf(["python", "-u"], ["app.py", "$HOME", "a b"])).toEqual([
      ...["python", "-u", "app.py", "$HOME", "a b"],
    ]);
    expect(argvOf(undefined, ["node"])).toEqual(["node"]);
    expect(argvOf(["node"])).toEqual(["node"]);
  });

  test("text is one line for a shell, and a list beside it keeps its words", () => {
    expect(argvOf(undefined, "echo $HOME | cat")).toEqual(["/bin/sh", "-c", "echo $HOME | cat"]);
    expect(argvOf("exec env A=1", ["sh", "-c", "echo '$A'", ""])).toEqual([
      ...["/bin/sh", "-c", String.raw`exec env A=1 'sh' '-c' 'echo '\''$A'\''' ''`],
    ]);
    expect(argvOf(["A=1", "-x"], "and more")).toEqual(["/bin/sh", "-c", "'A=1' '-x' and more"]);
  });

  test("a shell reads back the very words of a list", () => {
    const word = fc.string({ unit: "grapheme" }).filter((text) => !/[\0]/.test(text));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        const [shell = "", ...rest] = argvOf(String.raw`printf '%s\0'`, words) ?? [];
        const printed = execFileSync(shell, rest, { encoding: "utf8" });
        expect(printed.split("\0").slice(0, -1)).toEqual(words);
      }),
      { numRuns: 50 },
    );
  });

  test("retries are passed on", () => {
    expect(mainCommand({ entrypoint: undefined, command: "x", maxRetries: 3 })?.maxRetries).toBe(3);
  });
});
