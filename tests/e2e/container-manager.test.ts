/**
 * Goal: a sandbox as a long-lived container: a main command that is started again when it fails, its
 * log, settings that outlive stops, restarts and a killed server, images built from a request, and
 * folders that come out and go in as archives.
 */
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { type LogLine, Sandbox, SandboxError, type SandboxOptions } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { machinesOf } from "../machines.ts";
import { presentRuntimes } from "../runtimes.ts";

const run = promisify(execFile);
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => "it worked",
    (error: unknown) => (error instanceof SandboxError ? error.code : String(error)),
  );

/** Says which run it is and what it sees, and succeeds in the third. */
const THIRD_TIME =
  'n=$(cat runs 2>/dev/null || echo 0); echo $((n+1)) > runs; echo "run $n $COLOUR"; ' +
  "[ $n -ge 2 ] && exec sleep 1000; exit 7";

describe.each(presentRuntimes)("a container that is managed, on %s", (runtime) => {
  let server: TestServer;
  let connection: { apiKey: string; apiUrl: string };

  beforeAll(async () => {
    server = await startServer({ runtime });
    connection = { apiKey: server.apiKey, apiUrl: server.url };
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    expect(await machinesOf(server, runtime).catch(() => [])).toEqual([]);
  });

  const create = (body: object, accept = "application/json") =>
    fetch(`${server.url}/api/v1/sandboxes`, {
      method: "POST",
      headers: { ...server.headers, accept, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const made = (options: SandboxOptions): Promise<Sandbox> =>
    Sandbox.create({ ...connection, ...options });
  const until = (sandbox: Sandbox, state: string, restarts?: number) =>
    waitFor(
      async () => {
        const main = await sandbox.main.status();
        if (main?.state === state && (restarts === undefined || main.restarts === restarts)) {
          return main;
        }
        throw new Error(`it is ${JSON.stringify(main)}`);
      },
      { timeoutMs: 30_000, describe: `the main command to be ${state}` },
    );
  const textOf = (lines: LogLine[], stream: string) =>
    lines.filter((line) => line.stream === stream).map(({ text }) => text);

  test("a main command that fails is started again until it succeeds", async () => {
    await using sandbox = await made({
      command: THIRD_TIME,
      env: { COLOUR: "red" },
      resources: { maxRetries: 3 },
    });
    const main = await until(sandbox, "running", 2);
    expect(main).toMatchObject({ state: "running", restarts: 2, maxRetries: 3 });
    // It runs before it has printed.
    const printed = await waitFor(
      async () => {
        const lines = textOf(await Array.fromAsync(sandbox.logs()), "stdout");
        return lines.length >= 3 ? lines : undefined;
      },
      { describe: "what the third run prints" },
    );
    expect(printed).toEqual(["run 0 red", "run 1 red", "run 2 red"]);
    const tail = await fetch(`${server.url}/api/v1/sandboxes/${sandbox.id}/logs?tail=1`, {
      headers: server.headers,
    });
    expect(tail.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(await tail.text()).toBe("run 2 red\n");
    const types = await waitFor(
      async () => {
        const events = await Array.fromAsync(sandbox.events());
        const ofMain = events.map(({ type }) => type).filter((type) => type.startsWith("main."));
        if (ofMain.length < 5) throw new Error(ofMain.join(" "));
        return ofMain;
      },
      { describe: "the events of the main command" },
    );
    const [started, retrying] = ["main.started", "main.retrying"];
    expect(types).toEqual([started, retrying, started, retrying, started]);
  });

  test("one whose retries are used up has failed, with its last exit code", async () => {
    await using sandbox = await made({ command: ["sh", "-c", "exit 9"] });
    expect(await until(sandbox, "failed")).toMatchObject({ exitCode: 9, restarts: 0 });
    await using missing = await made({ entrypoint: ["no-such-program"] });
    expect((await until(missing, "failed")).error).toContain("no-such-program");
    await using none = await made({});
    expect(await none.main.status()).toBeUndefined();
    expect(await failure(none.main.restart())).toBe("process_not_found");
  });

  test("a log is followed across restarts of the main command, until the sandbox ends", async () => {
    await using sandbox = await made({ command: 'echo "hello $COLOUR"; exec sleep 1000' });
    const seen: string[] = [];
    const followed = (async () => {
      for await (const { stream, text } of sandbox.logs({ follow: true })) {
        if (stream === "stdout") seen.push(text);
      }
    })();
    const hasSeen = (count: number) =>
      waitFor(() => seen.length >= count, { timeoutMs: 20_000, describe: `${count} lines` });
    await hasSeen(1);
    const changed = await sandbox.environment.update({ COLOUR: "blue" });
    expect(changed).toMatchObject({ environment: { COLOUR: "blue" }, restartNeeded: true });
    expect(await sandbox.main.restart()).toMatchObject({ state: "running" });
    await hasSeen(2);
    expect((await sandbox.environment.get()).restartNeeded).toBe(false);
    expect(await sandbox.main.stop()).toMatchObject({ state: "stopped" });
    await sandbox.main.restart();
    await hasSeen(3);
    expect(seen).toEqual(["hello ", "hello blue", "hello blue"]);
    await sandbox.destroy();
    expect(await failure(followed)).toBe("it worked");
  });

  test("a changed environment holds for the next command, and outlives stop, restart and SIGKILL", async () => {
    await using sandbox = await Sandbox.create({ ...connection, env: { A: "1", B: "2" } });
    const shown = async () => (await sandbox.commands.run('echo "$A $B $C"')).stdout.trim();
    expect(await shown()).toBe("1 2");
    await sandbox.environment.update({ B: "two", C: "3" });
    expect(await shown()).toBe("1 two 3");
    await sandbox.stop();
    await sandbox.environment.update({ C: "three" });
    await sandbox.start();
    expect(await shown()).toBe("1 two three");
    expect((await sandbox.restart()).state).toBe("running");
    expect(await shown()).toBe("1 two three");
    await server.restart("SIGKILL");
    expect(await shown()).toBe("1 two three");
    await sandbox.environment.update({ ONLY: "this" }, { merge: false });
    expect(await shown()).toBe("");
    expect(await sandbox.environment.get()).toEqual({
      environment: { ONLY: "this" },
      restartNeeded: false,
    });
    const large = { LARGE: "x".repeat(100_000), AND_MORE: "x".repeat(100_000) };
    await sandbox.environment.update(large);
    expect(await failure(sandbox.environment.update({ MORE: "x".repeat(100_000) }))).toBe(
      "invalid_request",
    );
    expect(Object.keys((await sandbox.environment.get()).environment)).toEqual([
      "ONLY",
      "LARGE",
      "AND_MORE",
    ]);
  });

  test("a main command outlives the server, which then knows what became of it", async () => {
    await using sandbox = await made({
      command: "echo up; while [ ! -e done ]; do sleep 0.1; done; exit 5",
    });
    const { changedAt } = await until(sandbox, "running");
    await server.restart("SIGKILL");
    expect((await until(sandbox, "running")).changedAt).toEqual(changedAt);
    await sandbox.files.write("done", "");
    expect(await until(sandbox, "failed")).toMatchObject({ exitCode: 5 });
    expect(textOf(await Array.fromAsync(sandbox.logs()), "stdout")).toEqual(["up"]);
    const started = await waitFor(
      async () => {
        const events = await Array.fromAsync(sandbox.events());
        if (!events.some(({ type }) => type === "main.failed")) throw new Error("it is not there");
        return events.filter(({ type }) => type === "main.started");
      },
      { describe: "the failure in the events" },
    );
    // A crash may have it recorded twice, but it was one start.
    expect(new Set(started.map(({ at }) => at.getTime()))).toEqual(new Set([changedAt.getTime()]));
  });

  test("a changed entrypoint is what is started next", async () => {
    await using sandbox = await made({});
    const lastLine = () =>
      waitFor(
        async () => {
          const lines = textOf(await Array.fromAsync(sandbox.logs()), "stdout");
          return lines.at(-1);
        },
        { describe: "a line of the main command" },
      );
    // There was none, so nothing is in its way.
    const first = await sandbox.entrypoint.update({
      entrypoint: ["sh", "-c", 'echo "first $*"; exec sleep 1000', "sh"],
      command: ["a b", "$HOME"],
    });
    expect(first.restartNeeded).toBe(false);
    await until(sandbox, "running");
    expect(await lastLine()).toBe("first a b $HOME");
    const second = await sandbox.entrypoint.update({ entrypoint: null, command: "echo $((1+1))" });
    expect(second).toEqual({ command: "echo $((1+1))", restartNeeded: true });
    await sandbox.main.restart();
    expect(await until(sandbox, "exited")).toMatchObject({ exitCode: 0 });
    expect(await lastLine()).toBe("2");
    await sandbox.entrypoint.update({ command: "exec sleep 1000" });
    await sandbox.main.restart();
    await until(sandbox, "running");
    expect(await sandbox.entrypoint.update({ command: null })).toEqual({ restartNeeded: true });
    expect(await sandbox.main.restart()).toMatchObject({ state: "stopped" });
    expect(await sandbox.entrypoint.get()).toEqual({ restartNeeded: false });
    expect(await failure(sandbox.main.restart())).toBe("process_not_found");
    await sandbox.stop();
    expect((await sandbox.info()).main?.state).not.toBe("running");
    await sandbox.entrypoint.update({ command: "true" });
    expect(await sandbox.entrypoint.get()).toEqual({ command: "true", restartNeeded: false });
    await sandbox.start();
    await until(sandbox, "exited");
  });

  test("an image is built from a request, or the step that fails is named", async () => {
    const build = (dockerfile: string, body: object = {}) =>
      create(
        { build_context: { Dockerfile: dockerfile, "greeting.txt": "hello" }, ...body },
        "application/x-ndjson",
      );
    interface Line {
      type: string;
      step?: string;
      message?: string;
      sandbox?: { id: string };
      error?: { code: string; message: string; details?: { step?: string; output?: string } };
    }
    const linesOf = async (answer: Response): Promise<Line[]> =>
      (await answer.text())
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Line);
    const good = "FROM insien-base\nCOPY greeting.txt /greeting.txt\nRUN echo it is built\n";
    const lines = await linesOf(await build(good, { command: "cat /greeting.txt" }));
    if (runtime === "bubblewrap") {
      expect(lines.at(-1)?.error).toMatchObject({ code: "capability_missing" });
      return;
    }
    const id = lines.at(-1)?.sandbox?.id;
    expect(id, JSON.stringify(lines.slice(-3))).toBeDefined();
    const printed = lines.filter(({ step }) => step === "build").map(({ message }) => message);
    expect(printed.join("\n")).toContain("it is built");
    const sandbox = await Sandbox.connect(id ?? "", connection);
    await until(sandbox, "exited");
    const [line] = textOf(await Array.fromAsync(sandbox.logs()), "stdout");
    expect(line).toBe("hello");
    expect(await sandbox.destroy()).toBe(true);

    const failed = (await linesOf(await build(`${good}RUN echo before && exit 3\n`))).at(-1);
    expect(failed?.error).toMatchObject({ code: "build_failed" });
    expect(failed?.error?.details?.step).toContain("exit 3");
    expect(failed?.error?.details?.output).toContain("before");
  });

  test("`timeout` is how long it lives, and may not contradict `ttl_seconds`", async () => {
    await using sandbox = await made({ resources: { timeout: 600 } });
    const { createdAt, expiresAt } = await sandbox.info();
    const livesMs = (expiresAt?.getTime() ?? 0) - createdAt.getTime();
    expect(Math.abs(livesMs - 600_000)).toBeLessThan(5_000);
    const answer = await create({ resources: { timeout: 600 }, ttl_seconds: 60 });
    const { error } = (await answer.json()) as { error: { message: string } };
    expect(error.message).toContain("resources.timeout: differs from ttl_seconds");
  });

  test("with read_only nothing but the home and /tmp can be written", async () => {
    const creation = made({ readOnly: true });
    const code = await failure(creation);
    if (code === "capability_missing") return;
    await using sandbox = await creation;
    const own = await sandbox.commands.run("touch ~/new /tmp/new && echo written");
    expect(own.stdout).toBe("written\n");
    const others = await sandbox.commands.run(
      "for place in / /var /usr/local /etc; do touch $place/new && echo $place; done",
      runtime === "docker" ? { user: "root" } : {},
    );
    expect([others.stdout, others.stderr]).toEqual(["", expect.stringContaining("Read-only")]);
  });

  test("what a runtime cannot do is refused with the reason, and nothing is left", async () => {
    const answer = await create({ resources: { gpu: "all" } });
    const { error } = (await answer.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("capability_missing");
    expect(error.message).toContain("GPU");
    const list = await fetch(`${server.url}/api/v1/sandboxes`, { headers: server.headers });
    expect(((await list.json()) as { items: unknown[] }).items).toEqual([]);
  });

  test("a folder comes out as zip and as tar, and goes in as tar", async () => {
    await using sandbox = await Sandbox.create(connection);
    const directory = await mkdtemp(join(tmpdir(), "insien-archive-"));
    try {
      await sandbox.commands.run(
        "mkdir -p out/deep/empty && echo one > out/one.txt && ln -s one.txt out/link && " +
          "head -c 20000000 /dev/urandom > out/deep/noise && chmod 755 out/one.txt",
      );
      const url = `${server.url}/api/v1/sandboxes/${sandbox.id}/archive`;
      const zip = await fetch(`${url}?path=out`, { headers: server.headers });
      expect(zip.headers.get("content-type")).toBe("application/zip");
      expect(zip.headers.get("content-disposition")).toContain('filename="out.zip"');
      const { names, links } = zipEntries(Buffer.from(await zip.arrayBuffer()));
      expect(names).toEqual(expect.arrayContaining(["one.txt", "link", "deep/noise"]));
      expect(links).toEqual(["link"]);

      await mkdir(join(directory, "out"));
      const tar = await sandbox.files.readArchive("out", { format: "tar" });
      const untar = spawn("tar", ["-x", "-C", join(directory, "out")]);
      const untarred = new Promise((resolve) => untar.once("close", resolve));
      Readable.fromWeb(tar as never).pipe(untar.stdin);
      expect(await untarred).toBe(0);
      expect(await readFile(join(directory, "out/one.txt"), "utf8")).toBe("one\n");
      expect(await readlink(join(directory, "out/link"))).toBe("one.txt");
      const noise = await readFile(join(directory, "out/deep/noise"));
      expect(Buffer.compare(noise, await sandbox.files.readBytes("out/deep/noise"))).toBe(0);

      await writeFile(join(directory, "out/ünï côde"), "new");
      await symlink("deep/noise", join(directory, "out/other"));
      await run("tar", ["-cf", join(directory, "in.tar"), "-C", join(directory, "out"), "."]);
      const packed = await readFile(join(directory, "in.tar"));
      const put = await fetch(`${url}?path=in/it`, {
        method: "PUT",
        headers: { ...server.headers, "content-type": "application/x-tar" },
        body: packed,
      });
      const text = await put.text();
      expect(put.status, text).toBe(200);
      expect(JSON.parse(text)).toMatchObject({ path: expect.stringMatching(/\/in\/it$/) });
      expect(await sandbox.files.read("in/it/ünï côde")).toBe("new");
      const { stdout } = await sandbox.commands.run(
        "readlink in/it/other; cmp out/deep/noise in/it/other",
      );
      expect(stdout).toBe("deep/noise\n");
      const nothing = await fetch(`${url}?path=nothing`, { headers: server.headers });
      expect(nothing.status).toBe(404);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("directories are listed and made over REST", async () => {
    await using sandbox = await Sandbox.create(connection);
    const url = `${server.url}/api/v1/sandboxes/${sandbox.id}/directories`;
    const send = async (method: string, query: string) => {
      const answer = await fetch(`${url}?${query}`, { method, headers: server.headers });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    expect((await send("POST", "path=a/b&mode=750")).body).toMatchObject({ created: true });
    expect((await send("POST", "path=a/b")).body).toMatchObject({ created: false });
    await sandbox.files.write("a/f.txt", "four");
    const { body } = await send("GET", "path=a");
    expect(body).toMatchObject({
      items: [
        { name: "b", type: "directory", mode: 0o750 },
        { name: "f.txt", type: "file", size: 4, modified_at: expect.any(String) },
      ],
      truncated: false,
    });
    expect((await send("GET", "path=nowhere")).status).toBe(404);
    expect((await send("GET", "path=a/f.txt")).body["error"]).toMatchObject({
      code: "not_a_directory",
    });
  });
});

/** Names, and those that are symbolic links, by the directory at the archive's end. */
function zipEntries(zip: Buffer): { names: string[]; links: string[] } {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 5, 6]));
  const names: string[] = [];
  const links: string[] = [];
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    expect(zip.readUInt32LE(at)).toBe(0x02014b50);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) =>
      zip.readUInt16LE(at + offset),
    ) as [number, number, number];
    const name = zip.toString("utf8", at + 46, at + 46 + nameBytes);
    names.push(name);
    if (((zip.readUInt32LE(at + 38) >>> 16) & 0o170_000) === 0o120_000) links.push(name);
    at += 46 + nameBytes + extraBytes + commentBytes;
  }
  return { names, links };
}
