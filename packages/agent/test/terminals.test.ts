import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { LIMITS, type Frame } from "@insien/protocol";
import { mustHave, waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { failure } from "./files.fixture.ts";
import { makeTerminals, TestViewer } from "./terminals.fixture.ts";

const id = 1;
const isRoot = process.getuid?.() === 0;
let terminals: ReturnType<typeof makeTerminals>;
let viewer: TestViewer;

beforeEach(() => {
  terminals = makeTerminals(userInfo().username);
  viewer = new TestViewer();
});
afterEach(async () => {
  for (const terminal of terminals.table.list()) terminal.close();
  await waitFor(() => terminals.table.size === 0, { describe: "all terminals to end" });
  terminals[Symbol.dispose]();
});

const open = async (fields: object = { shell: "exec sh -i", env: { PS1: "$ " } }) =>
  terminals.handlers.terminalOpen({ id, type: "terminalOpen", ...fields }, viewer);
const attach = async (terminalId: string, connection: TestViewer) =>
  terminals.handlers.terminalAttach({ id, type: "terminalAttach", terminalId }, connection);
const type = async (terminalId: string, data: string, encoding?: "base64") =>
  terminals.handlers.terminalInput(
    { id, type: "terminalInput", terminalId, data, ...(encoding && { encoding }) },
    viewer,
  );
/** Whether the terminal of a shell has a program of that name in its foreground. */
async function foregroundIs(shellPid: number, name: string): Promise<boolean> {
  const stat = await readFile(`/proc/${shellPid}/stat`, "utf8");
  const group = stat.slice(stat.lastIndexOf(")")).split(" ")[6];
  return (await readFile(`/proc/${group}/comm`, "utf8")).trim() === name;
}
const frame = (channel: number, payload: Uint8Array): Frame => ({
  kind: "terminalInput",
  channel,
  offset: 0,
  payload,
});

describe("one viewer", () => {
  test("the default is an interactive shell on a real terminal", async () => {
    const { terminalId, pid } = await open({});
    await type(terminalId, "echo $((40+2)) $TERM $BOUND; tty; stty size; echo $$\n");
    await viewer.sees("42 xterm-256color yes");
    await viewer.sees("/dev/pts/");
    await viewer.sees("24 80");
    await viewer.sees(String(pid));
  });

  test("input comes as text, base64 and binary frames", async () => {
    const { terminalId, channel } = await open({ cmd: "cat" });
    await type(terminalId, "téxt\n");
    await type(terminalId, Buffer.from("base\n").toString("base64"), "base64");
    terminals.inputFrame(frame(channel, Buffer.from("frame\n")), viewer);
    // Once echoed by the terminal, once printed by the program.
    for (const line of ["téxt", "base", "frame"]) {
      await viewer.sees(`${Buffer.from(line).toString("latin1")}\r\n`, 2);
    }
  });

  test("a key and a signal reach what is in the foreground, not the shell", async () => {
    const { terminalId, pid } = await open();
    for (const interrupt of [
      () => type(terminalId, "\x03"),
      () =>
        terminals.handlers.terminalSignal(
          { id, type: "terminalSignal", terminalId, signal: "SIGINT" },
          viewer,
        ),
    ]) {
      await type(terminalId, "trap : INT; sleep 1000; echo rc=$?\n");
      const sleeping = () => foregroundIs(pid, "sleep");
      await waitFor(sleeping, { describe: "sleep to run" });
      await interrupt();
      await waitFor(async () => !(await sleeping()), { describe: "sleep to end" });
    }
    await type(terminalId, "echo still-$((1+1))\n");
    await viewer.sees("still-2");
  });

  test("the end is told with exit code or signal, after all output", async () => {
    await open({ shell: "printf last; exit 7" });
    expect(await viewer.notice("terminalExit")).toMatchObject({ exitCode: 7, channel: 1 });
    expect(viewer.output).toBe("last");
    viewer = new TestViewer();
    const { terminalId } = await open({ cmd: "sleep", args: ["1000"] });
    await terminals.handlers.terminalSignal(
      { id, type: "terminalSignal", terminalId, signal: "SIGKILL" },
      viewer,
    );
    expect(await viewer.notice("terminalExit")).toMatchObject({ signal: "SIGKILL" });
    expect((await failure(() => attach(terminalId, viewer))).code).toBe("terminal_not_found");
  });

  test("close hangs up; closing what is gone is no error", async () => {
    const { terminalId } = await open();
    const close = async () =>
      terminals.handlers.terminalClose({ id, type: "terminalClose", terminalId }, viewer);
    expect(await close()).toEqual({ closed: true });
    await viewer.notice("terminalExit");
    expect(await close()).toEqual({ closed: false });
    expect(terminals.changes).toBe(2);
  });

  test.each([
    [{ cmd: "no-such-program" }, "command_not_found"],
    [{ cmd: "ls", cwd: "/no/such" }, "file_not_found"],
    [{ cmd: "ls", user: "nobody-at-all" }, "user_not_found"],
  ])("%j is refused with %s", async (fields, code) => {
    expect((await failure(() => open(fields))).code).toBe(code);
    expect(terminals.table.size).toBe(0);
  });

  test("a terminal that runs out of its time is closed", async () => {
    await open({ cmd: "sleep", args: ["1000"], timeoutMs: 50 });
    expect(await viewer.notice("terminalExit")).toMatchObject({ signal: "SIGHUP" });
  });

  test.skipIf(!mustHave(isRoot, "root rights"))(
    "another user's terminal is theirs alone",
    async () => {
      await open({
        shell: "id -u; id -G; stat -c %u $(tty); echo x > /dev/tty && echo ok",
        user: "nobody",
      });
      await viewer.notice("terminalExit");
      expect(viewer.output.split("\r\n")).toEqual(["65534", "65534", "65534", "x", "ok", ""]);
    },
  );
});

describe("several viewers", () => {
  test("a newcomer gets what was printed, and both see what follows", async () => {
    const { terminalId } = await open();
    await type(terminalId, "echo before-$((1+1))\n");
    await viewer.sees("before-2");
    const second = new TestViewer();
    const { terminal } = await attach(terminalId, second);
    expect(terminal).toMatchObject({ viewers: 2, cols: 80, rows: 24 });
    await second.sees("before-2");
    await type(terminalId, "echo after-$((1+1))\n");
    await Promise.all([viewer.sees("after-2"), second.sees("after-2")]);
    expect(second.output).toBe(viewer.output);
  });

  test("a resize reaches the program and every viewer", async () => {
    const { terminalId } = await open();
    const second = new TestViewer();
    await attach(terminalId, second);
    await terminals.handlers.terminalResize(
      { id, type: "terminalResize", terminalId, cols: 100, rows: 30 },
      viewer,
    );
    for (const each of [viewer, second]) {
      expect(await each.notice("terminalResized")).toMatchObject({
        terminalId,
        cols: 100,
        rows: 30,
      });
    }
    await type(terminalId, "stty size\n");
    await second.sees("30 100");
  });

  test("the terminal outlives its viewers", async () => {
    const { terminalId } = await open();
    viewer.close();
    await waitFor(() => terminals.table.get(terminalId).info().viewers === 0);
    await type(terminalId, "echo alone-$((1+1))\n");
    const next = new TestViewer();
    await attach(terminalId, next);
    await next.sees("alone-2");
    await terminals.handlers.terminalDetach({ id, type: "terminalDetach", terminalId }, next);
    const { terminals: listed } = await terminals.handlers.terminalList(
      { id, type: "terminalList" },
      next,
    );
    expect(listed).toMatchObject([{ terminalId, viewers: 0 }]);
  });

  test("a slow viewer neither stalls the others nor misses the end, and is told what it skipped", async () => {
    const { terminalId } = await open({ shell: "read go; seq 1 200000; echo the-end; read more" });
    const slow = new TestViewer();
    slow.congested = true;
    await attach(terminalId, slow);
    await type(terminalId, "go\n");
    await viewer.sees("the-end");
    expect(slow.output).toBe("");
    slow.readOn();
    await slow.sees("the-end");
    const dropped = await slow.notice("dropped");
    expect(dropped).toMatchObject({ stream: "terminal", from: 0 });
    expect(dropped.to).toBe(slow.firstOffset);
    expect(slow.nextOffset).toBe(viewer.nextOffset);
  });

  test("with nobody reading but slow viewers the program is made to wait", async () => {
    viewer.congested = true;
    const { terminalId } = await open({ shell: "yes | head -c 3000000; echo the-end; read more" });
    // As many bytes as the ring holds would be long gone; the first ones are still there.
    const curious = new TestViewer();
    curious.congested = true;
    await attach(terminalId, curious);
    viewer.readOn();
    curious.readOn();
    await Promise.all([viewer.sees("the-end"), curious.sees("the-end")]);
    expect(viewer.notices.filter(({ type: name }) => name === "dropped")).toEqual([]);
    expect(viewer.firstOffset).toBe(0);
  });
});

describe("scrollback", () => {
  test("a long one begins at a line and in the right screen mode", async () => {
    const lines = 2 * (LIMITS.terminalScrollbackBytes.value / 8);
    const { terminalId } = await open({
      shell: `printf '\\033[?1049h\\033[?25l'; seq 1000001 ${1000001 + lines}; echo the-end; read more`,
    });
    await viewer.sees("the-end");
    const late = new TestViewer();
    await attach(terminalId, late);
    await late.sees("the-end");
    expect(late.output.slice(0, 40)).toMatch(/^\x1b\[\?25l\x1b\[\?1049h1\d{6}\r\n/);
    expect(late.output.length).toBeLessThanOrEqual(LIMITS.terminalScrollbackBytes.value + 64);
    expect(late.nextOffset).toBe(viewer.nextOffset);
  });
});

test("input that the program does not take makes its sender wait", async () => {
  const { channel, terminalId } = await open({ shell: "stty raw -echo; echo ready; sleep 1000" });
  await viewer.sees("ready");
  for (let sent = 0; sent <= LIMITS.stdinBufferBytes.value + 65536; sent += 65536) {
    terminals.inputFrame(frame(channel, Buffer.alloc(65536, "x")), viewer);
  }
  expect(viewer.held).toBe(true);
  terminals.table.get(terminalId).close();
  await waitFor(() => !viewer.held, { describe: "the hold to end with the terminal" });
});
