import { once } from "node:events";
import { startServer, type TestServer, waitFor } from "@insien/test-kit";
import type { SandboxInfo } from "@insien/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Insien } from "./insien.fixture.ts";

let server: TestServer;
let insien: Insien;

beforeAll(async () => {
  server = await startServer({ runtime: "bubblewrap" });
  insien = new Insien(server);
  await insien.text(["create", "--name", "box", "--env", "GREETING=good day"]);
});
afterAll(() => server[Symbol.asyncDispose]());

describe("sandboxes", () => {
  test("are made, listed, shown, and meant by name or the beginning of their id", async () => {
    const id = await insien.text(["create", "--name", "second", "--memory", "128m", "--ttl", "1h"]);
    const list = await insien.json<SandboxInfo[]>(["ls"]);
    expect(list.map(({ name }) => name)).toEqual(["second", "box"]);
    expect(await insien.text(["ls", "--quiet"])).toContain(id);
    const shown = await insien.json<SandboxInfo>(["show", id.slice(0, 12)]);
    expect(shown).toMatchObject({ id, name: "second", resources: { memory: "128m" } });
    const [heading, ...rows] = (await insien.text(["ls"])).split("\n");
    expect(heading?.split(/\s+/).slice(0, 3)).toEqual(["ID", "NAME", "STATE"]);
    expect(rows[0]).toMatch(/second +running/);
    expect(await insien.text(["rm", "second"])).toBe(id);
    expect(await insien.text(["ls"])).not.toContain("second");
  });

  test("stop, start and restart, with their files", async () => {
    await insien.text(["exec", "box", "--", "sh", "-c", "echo kept > kept.txt"]);
    expect(await insien.text(["stop", "box"])).toContain("stopped");
    const refused = await insien.run(["exec", "box", "true"]);
    expect(refused.stderr).toContain("start it first");
    expect(refused.code).toBe(125);
    expect(await insien.text(["start", "box"])).toContain("running");
    expect(await insien.text(["restart", "box"])).toContain("running");
    expect(await insien.text(["exec", "box", "cat", "kept.txt"])).toBe("kept");
  });

  test("tell of their events", async () => {
    const lines = (await insien.text(["events", "box", "--json"])).split("\n");
    const types = lines.map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types[0]).toBe("sandbox.created");
    expect(types).toContain("sandbox.stopped");
  });
});

describe("exec", () => {
  test("keeps output, errors and exit codes apart and as they are", async () => {
    const script = 'printf "%s" "$GREETING"; echo trouble >&2; exit 7';
    const outcome = await insien.run(["exec", "box", "--", "sh", "-c", script]);
    expect(outcome).toEqual({ code: 7, stdout: "good day", stderr: "trouble\n" });
  });

  test("gives all of it as JSON to programs, and ends as it did", async () => {
    const script = 'printf "%s" "$GREETING"; echo trouble >&2; exit 7';
    const outcome = await insien.run(["exec", "--json", "box", "--", "sh", "-c", script]);
    expect(outcome).toMatchObject({ code: 7, stderr: "" });
    const result: unknown = JSON.parse(outcome.stdout);
    expect(result).toMatchObject({ stdout: "good day", stderr: "trouble\n", exitCode: 7 });
    expect(result).toHaveProperty("durationMs");
  });

  test("passes input on, to its end", async () => {
    const stdin = "line\n".repeat(50_000);
    const outcome = await insien.run(["exec", "-i", "box", "wc", "-c"], { stdin });
    expect(outcome.stdout.trim()).toBe(String(stdin.length));
  });

  test("takes a line for the shell, a directory and variables", async () => {
    const words = ["exec", "-c", "-w", "/tmp", "-e", "N=5", "box", "pwd; echo $((N * 2)) | tr 1 x"];
    expect(await insien.text(words)).toBe("/tmp\nx0");
  });

  test("says with the usual codes what went wrong", async () => {
    expect((await insien.run(["exec", "box", "no-such-program"])).code).toBe(127);
    expect((await insien.run(["exec", "-t", "1s", "box", "sleep", "60"])).code).toBe(124);
    expect((await insien.run(["exec", "box", "--", "sh", "-c", "kill -9 $$"])).code).toBe(137);
  });

  test("passes Control-C on to the command", async () => {
    const script = 'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done';
    const child = insien.start(["exec", "box", "--", "sh", "-c", script]);
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
    const closed = once(child, "close");
    await waitFor(() => output.includes("ready"), { describe: "the command to be ready" });
    child.kill("SIGINT");
    expect(await closed).toEqual([9, null]);
    expect(output).toContain("caught");
  });

  test("ends when its reader does", async () => {
    const child = insien.start(["exec", "box", "yes"]);
    const closed = once(child, "close");
    await once(child.stdout ?? child, "data");
    child.stdout?.destroy();
    expect((await closed)[0]).toBe(0);
  });
});

describe("shell", () => {
  test("is a real terminal: size, colours, line editing, exit code", async () => {
    const child = insien.onTerminal(["shell", "box"]);
    let screen = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (screen += text));
    const closed = once(child, "close");
    await waitFor(() => /[$#] /.test(screen), { describe: "a prompt", timeoutMs: 15_000 });
    child.stdin?.write("test -t 0 && stty size && echo is-a-$((1 + 1))-tty\r");
    await waitFor(() => screen.includes("is-a-2-tty"), { describe: "its answer" });
    child.stdin?.write("sleep 60\r");
    await waitFor(() => screen.includes("sleep 60"), { describe: "the echo of the line" });
    // Control-C is a key like any other, for the program in the sandbox.
    child.stdin?.write("\u0003");
    child.stdin?.write("exit 5\r");
    expect((await closed)[0]).toBe(5);
  });

  test("needs a terminal, and says what to use instead", async () => {
    const { code, stderr } = await insien.run(["shell", "box"]);
    expect(code).toBe(2);
    expect(stderr).toContain("insien exec");
  });
});

describe("mistakes", () => {
  test.each([
    { words: ["show", "nobody"], code: 3, says: "insien ls" },
    { words: ["show", "a".repeat(20)], code: 3, says: "There is no sandbox" },
    { words: ["rm"], code: 2, says: "--all" },
    { words: ["lst"], code: 2, says: "Did you mean" },
    { words: ["create", "--ttl", "soon"], code: 2, says: "90s, 15m" },
    { words: ["create", "--memory", "lots"], code: 2, says: "memory" },
    { words: ["create", "--image", "busybox"], code: 1, says: "bubblewrap" },
    { words: ["create", "--name", "box"], code: 2, says: "insien rm box" },
    { words: ["create", "--build", "/no/such/place"], code: 2, says: "no directory" },
    { words: ["ports", "forward", "box", "70000"], code: 2, says: "from 1 to 65535" },
    { words: ["cp", "a", "b"], code: 2, says: "in a sandbox" },
    { words: ["--api-key", "wrong-key-wrong", "ls"], code: 5, says: "API key" },
    { words: ["--url", "http://127.0.0.1:1", "ls"], code: 4, says: "insien up -d" },
  ])("insien $words", async ({ words, code, says }) => {
    const outcome = await insien.run(words);
    expect(outcome.stderr).toContain(says);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).not.toMatch(/\n\s+at .*\.ts:/);
  });

  test("a name that would move the cursor does not", async () => {
    const name = "evil\u{1b}[2J\u{1b}]0;title\u0007";
    const id = await insien.text(["create", "--name", name]);
    const listed = await insien.text(["ls"]);
    expect(listed).toContain("evil");
    expect(listed).not.toContain("\u{1b}");
    await insien.text(["rm", id]);
  });
});
