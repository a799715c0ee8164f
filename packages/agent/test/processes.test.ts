import { readFileSync } from "node:fs";
import { isRunning, mustHave, waitFor } from "@insien/test-kit";
import { LIMITS } from "@insien/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startAgent, type TestAgent } from "./agent-process.ts";
import { RpcClient } from "./rpc-client.ts";

let agent: TestAgent;
let client: RpcClient;
beforeAll(async () => {
  agent = await startAgent({ env: { SECRET_OF_THE_AGENT: "x" } });
  client = new RpcClient(await agent.line.rpc());
});
afterAll(() => agent[Symbol.asyncDispose]());

const run = (shell: string, fields: { user?: string; env?: Record<string, string> } = {}) =>
  client.call("exec", { shell, ...fields });
const otherClient = async () => new RpcClient(await agent.line.rpc());
const isRoot = mustHave(process.getuid?.() === 0, "root, to start commands as other users");
const codeOf = (code: string) => ({ type: "error", error: { code } });

test("exec answers with both streams and the exit code", async () => {
  const answer = await run("echo out; echo err >&2; exit 3");
  expect(answer).toMatchObject({ stdout: "out\n", stderr: "err\n", exitCode: 3 });
  expect(answer.durationMs).toBeGreaterThan(0);
});

test("exec passes argv as it is, with no shell between", async () => {
  const args = ["%s|", "a b", "$HOME", "'", ""];
  const { stdout } = await client.call("exec", { cmd: "printf", args });
  expect(stdout).toBe("a b|$HOME|'||");
});

test("exec feeds stdin and then ends it", async () => {
  expect(await client.call("exec", { cmd: "cat", stdin: "héllo" })).toMatchObject({
    stdout: "héllo",
  });
});

test("exec with no stdin reads end-of-file at once", async () => {
  expect(await run("cat; echo done")).toMatchObject({ stdout: "done\n" });
});

test("exec bounds what it collects and says how much there was", async () => {
  const bytes = LIMITS.collectedOutputBytes.value + 1000;
  const answer = await run(`head -c ${bytes} /dev/zero`);
  expect(answer.stdout.length).toBe(LIMITS.collectedOutputBytes.value);
  expect(answer.truncated).toEqual({ stdoutBytes: bytes, stderrBytes: 0 });
});

test("exec is binary-safe with base64", async () => {
  const input = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("base64");
  const answer = await client.call("exec", { cmd: "cat", stdin: input, encoding: "base64" });
  expect(answer.stdout).toBe(input);
});

test("start streams output as it appears and ends with an exit notice", async () => {
  const { channel } = await client.call("start", {
    shell: "echo one; read x; echo $x",
    stdin: true,
  });
  await waitFor(() => client.output("stdout", channel).toString() === "one\n");
  client.input(channel, Buffer.from("two\n"));
  expect(await client.exit(channel)).toMatchObject({ exitCode: 0, stdoutBytes: 8, stderrBytes: 0 });
  expect(client.output("stdout", channel).toString()).toBe("one\ntwo\n");
});

test("output frames carry every byte value and their offsets", async () => {
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
  const { channel, processId } = await client.call("start", { cmd: "cat", stdin: true });
  client.input(channel, bytes);
  await waitFor(() => client.output("stdout", channel).length === bytes.length);
  await client.call("closeStdin", { processId });
  await client.exit(channel);
  expect(client.output("stdout", channel).equals(bytes)).toBe(true);
  let expected = 0;
  for (const frame of client.frames.filter((one) => one.channel === channel)) {
    expect(frame.offset).toBe(expected);
    expected += frame.payload.length;
  }
});

test("stdin by request, and a clear error once it is closed", async () => {
  const { processId, channel } = await client.call("start", { cmd: "cat", stdin: true });
  await client.call("stdin", { processId, data: "aGk=", encoding: "base64" });
  await client.call("closeStdin", { processId });
  await client.exit(channel);
  expect(client.output("stdout", channel).toString()).toBe("hi");
  const late = client.call("stdin", { processId, data: "x" });
  await expect(late).rejects.toMatchObject(codeOf("stdin_closed"));
});

test.skipIf(!isRoot)("a command may open /dev/stdout and /dev/stderr, as every user", async () => {
  const shell = "echo a > /dev/stderr; echo b > /dev/stdout; echo c >> /proc/self/fd/2";
  for (const user of ["0", "1000"]) {
    expect(await run(shell, { user })).toMatchObject({
      stdout: "b\n",
      stderr: "a\nc\n",
      exitCode: 0,
    });
  }
});

test("a command gets three descriptors and no more", async () => {
  expect((await run("ls /proc/self/fd | tr '\\n' ' '")).stdout).toBe("0 1 2 3 ");
});

test("a command's environment is clean, and its own variables win", async () => {
  const { stdout } = await run("env", { env: { LANG: "x", MINE: "a=b\nc" } });
  expect(stdout).toContain("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
  expect(stdout).toContain("LANG=x\n");
  expect(stdout).toContain("MINE=a=b\nc\n");
  expect(stdout).not.toMatch(/INSIEN|SECRET_OF_THE_AGENT|test-token/);
});

test("a command takes as many variables as may be given, and none that Linux refuses", async () => {
  const { stdout } = await run("echo ${#A} ${#B}", {
    env: { A: "x".repeat(LIMITS.commandLineBytes.value - 3), B: "x".repeat(131_000) },
  });
  expect(stdout).toBe("131069 131000\n");
  const tooLong = run("true", { env: { A: "x".repeat(LIMITS.commandLineBytes.value - 2) } });
  const message = "env.A takes 131073 bytes, 131072 are allowed";
  await expect(tooLong).rejects.toMatchObject({ error: { code: "invalid_request", message } });
});

test("no signal is blocked or ignored in a command", async () => {
  const { stdout } = await client.call("exec", {
    cmd: "grep",
    args: ["Sig[BI]", "/proc/self/status"],
  });
  expect(stdout).toBe("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
});

test.skipIf(!isRoot)(
  "a user is a name or a number, with its groups, home and no capabilities",
  async () => {
    expect((await run("id -u; id -g; echo $USER $HOME", { user: "daemon" })).stdout).toBe(
      "1\n1\ndaemon /usr/sbin\n",
    );
    expect((await run("id -u; grep CapEff /proc/self/status", { user: "4711" })).stdout).toBe(
      "4711\nCapEff:\t0000000000000000\n",
    );
    // The saved id would let the command come back as root.
    expect((await run("grep Uid /proc/self/status", { user: "4711" })).stdout).toBe(
      "Uid:\t4711\t4711\t4711\t4711\n",
    );
    await expect(run("true", { user: "nobody-here" })).rejects.toMatchObject(
      codeOf("user_not_found"),
    );
  },
);

test.each([
  [{ cmd: "no-such-command" }, "command_not_found", "no-such-command"],
  [{ cmd: "/no/such/file" }, "command_not_found", "/no/such/file"],
  [{ cmd: "/etc/passwd" }, "permission_denied", "/etc/passwd"],
  [{ cmd: "true", cwd: "/no/such/place" }, "file_not_found", "cwd"],
  [{ cmd: "true", cwd: "/etc/passwd" }, "not_a_directory", "cwd"],
  [{}, "invalid_request", "cmd"],
  [{ cmd: "true", shell: "true" }, "invalid_request", "cmd"],
  [{ cmd: "echo", args: ["a\0b"] }, "invalid_request", "NUL"],
  [{ cmd: "echo", args: ["x".repeat(200_000)] }, "invalid_request", "args"],
])("%j cannot start: %s, naming %s", async (fields, code, name) => {
  const error = await client.call("exec", fields).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject(codeOf(code));
  expect((error as { error: { message: string } }).error.message).toContain(name);
});

test("a script without an interpreter line is run by the shell", async () => {
  await run("printf 'echo from script $1' > /tmp/insien-plain; chmod +x /tmp/insien-plain");
  const answer = await client.call("exec", { cmd: "/tmp/insien-plain", args: ["x"] });
  expect(answer.stdout).toBe("from script x\n");
});

test("a signal reaches the whole process group", async () => {
  const { processId, channel } = await client.call("start", { shell: "sleep 300 & echo $!; wait" });
  const child = await waitFor(
    () => Number(client.output("stdout", channel).toString()) || undefined,
  );
  expect(await client.call("signal", { processId, signal: "SIGTERM" })).toMatchObject({
    delivered: true,
  });
  expect(await client.exit(channel)).toMatchObject({ signal: "SIGTERM" });
  await waitFor(() => !isRunning(child), { describe: "the grandchild to end" });
  expect(await client.call("signal", { processId, signal: "SIGTERM" })).toMatchObject({
    delivered: false,
  });
});

test("a killed command reports the signal; exec gives 128 and the number as the code", async () => {
  expect(await run("kill -KILL $$")).toMatchObject({ signal: "SIGKILL", exitCode: 137 });
});

test("a time limit ends the command and names its knob", async () => {
  const { processId, channel } = await client.call("start", {
    cmd: "sleep",
    args: ["60"],
    timeoutMs: 100,
  });
  const exit = await client.exit(channel);
  expect(exit).toMatchObject({ signal: "SIGTERM", error: { code: "command_timeout" } });
  expect(exit.error?.message).toContain("timeoutMs");
  const { processes } = await client.call("list", {});
  const listed = processes.find((process) => process.processId === processId);
  expect(listed?.ended).toMatchObject({ signal: "SIGTERM", error: { code: "command_timeout" } });
  const failing = client.call("exec", { cmd: "sleep", args: ["60"], timeoutMs: 50 });
  await expect(failing).rejects.toMatchObject(codeOf("command_timeout"));
});

test("what ignores SIGTERM is killed after the grace", async () => {
  const shell = "trap '' TERM; while :; do sleep 0.1; done";
  const { channel } = await client.call("start", { shell, timeoutMs: 100 });
  const exit = await client.exit(channel, LIMITS.killGraceMs.value + 5000);
  expect(exit).toMatchObject({ signal: "SIGKILL", error: { code: "command_timeout" } });
  expect(exit.durationMs).toBeGreaterThan(LIMITS.killGraceMs.value);
});

test("a child left in the background does not keep the end waiting, and lives on", async () => {
  const started = performance.now();
  const { stdout } = await run("(sleep 1; echo late; touch /tmp/insien-late) & echo $!");
  expect(performance.now() - started).toBeLessThan(900);
  expect(stdout).toMatch(/^\d+\n$/);
  await waitFor(() => run("rm /tmp/insien-late").then(({ exitCode }) => exitCode === 0));
});

test("a background command outlives its client, and attaching gives what was missed", async () => {
  const first = await otherClient();
  const { processId, channel } = await first.call("start", {
    shell: "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done",
    background: true,
    tag: "counter",
  });
  await waitFor(() => first.output("stdout", channel).length >= 2);
  const seen = first.output("stdout", channel).length;
  first.socket.terminate();
  const second = await otherClient();
  const { processes } = await second.call("list", {});
  expect(processes.find((process) => process.tag === "counter")).toMatchObject({
    processId,
    background: true,
  });
  const attached = await second.call("attach", { processId, stdoutOffset: seen });
  await second.exit(attached.channel);
  expect(second.output("stdout", attached.channel).toString()).toBe(
    "1\n2\n3\n4\n5\n6\n".slice(seen),
  );
});

test("attaching after the end replays the output and the exit", async () => {
  const { processId, channel } = await client.call("start", {
    shell: "echo a; echo b >&2; exit 7",
  });
  await client.exit(channel);
  const again = await client.call("attach", { processId });
  expect(again.process.ended).toMatchObject({ exitCode: 7 });
  expect(await client.exit(again.channel)).toMatchObject({
    exitCode: 7,
    stdoutBytes: 2,
    stderrBytes: 2,
  });
  expect(client.output("stdout", again.channel).toString()).toBe("a\n");
  expect(client.output("stderr", again.channel).toString()).toBe("b\n");
  const unknown = client.call("attach", { processId: "nope" });
  await expect(unknown).rejects.toMatchObject(codeOf("process_not_found"));
});

test("output that fell out of the ring is announced, and the rest follows at its offset", async () => {
  const total = LIMITS.outputRingBytes.value + 500_000;
  const first = await otherClient();
  const { processId } = await first.call("start", {
    shell: `sleep 0.2; head -c ${total} /dev/zero; printf end`,
    background: true,
  });
  first.socket.terminate();
  await waitFor(async () => {
    const { processes } = await client.call("list", {});
    return processes.find((process) => process.processId === processId)?.ended !== undefined;
  });
  const { channel } = await client.call("attach", { processId });
  await client.exit(channel);
  const from = total + 3 - LIMITS.outputRingBytes.value;
  expect(client.dropped(channel)).toMatchObject({ stream: "stdout", from: 0, to: from });
  const output = client.output("stdout", channel);
  expect(output.length).toBe(LIMITS.outputRingBytes.value);
  expect(output.subarray(-3).toString()).toBe("end");
  expect(client.frames.find((frame) => frame.channel === channel)?.offset).toBe(from);
});

test("a reader that does not read stops the command, loses nothing, and costs no memory", async () => {
  const slow = await otherClient();
  const total = 200_000_000;
  const { channel, processId } = await slow.call("start", {
    cmd: "head",
    args: ["-c", String(total), "/dev/zero"],
  });
  slow.socket.pause();
  let last = -1;
  const printed = await waitFor(
    async () => {
      const { processes } = await client.call("list", {});
      const now = processes.find((process) => process.processId === processId)?.stdoutBytes ?? 0;
      const isStill = now === last && now > 0;
      last = now;
      return isStill ? now : undefined;
    },
    { intervalMs: 200 },
  );
  expect(printed).toBeLessThan(30_000_000);
  expect(residentBytes()).toBeLessThan(120_000_000);
  slow.socket.resume();
  expect(await slow.exit(channel, 30_000)).toMatchObject({ exitCode: 0, stdoutBytes: total });
  expect(slow.output("stdout", channel).length).toBe(total);
});

test("a reader that leaves no longer holds the command up", async () => {
  const slow = await otherClient();
  const { processId } = await slow.call("start", {
    cmd: "head",
    args: ["-c", "100000000", "/dev/zero"],
    background: true,
  });
  slow.socket.pause();
  slow.socket.terminate();
  const ended = await waitFor(async () => {
    const { processes } = await client.call("list", {});
    return processes.find((process) => process.processId === processId)?.ended;
  });
  expect(ended).toMatchObject({ exitCode: 0 });
});

test("a writer into a command that does not read is made to wait", async () => {
  const writer = await otherClient();
  const { channel, processId } = await writer.call("start", {
    cmd: "sleep",
    args: ["60"],
    stdin: true,
  });
  const piece = Buffer.alloc(1 << 20);
  for (let count = 0; count < 100; count += 1) writer.input(channel, piece);
  await waitFor(() => writer.socket.bufferedAmount > 50 * piece.length);
  expect(residentBytes()).toBeLessThan(120_000_000);
  await client.call("signal", { processId, signal: "SIGKILL" });
  await writer.exit(channel);
});

test("many commands at once on one connection", async () => {
  const numbers = Array.from({ length: 100 }, (_, index) => index);
  const answers = await Promise.all(numbers.map((number) => run(`echo ${number}; exit ${number}`)));
  for (const [number, answer] of answers.entries()) {
    expect(answer).toMatchObject({ stdout: `${number}\n`, exitCode: number });
  }
});

function residentBytes(): number {
  const status = readFileSync(`/proc/${agent.child.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
}
