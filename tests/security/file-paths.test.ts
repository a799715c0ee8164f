/**
 * Goal: no path leads out of a sandbox, through no file call: not `..`, not a symbolic link, not
 * /proc. The agent that serves these calls lives inside the machine, so that there is nothing for
 * them to lead to; here it is tried, by RPC and by HTTP, against files of the host that must stay as
 * they are and unread.
 */
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@insien/protocol";
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

const CANARY = `canary-${newId()}`;
const WRITTEN = "written by the sandbox";

describe.each(presentRuntimes)("paths in a sandbox on %s", (runtime) => {
  let server: TestServer;
  let sandbox: Sandbox;
  let hostDirectory: string;
  let hostFile: string;
  let before: string[];
  /** Ways to say the host's file or directory, as links in the sandbox and as they are. */
  let ways: { file: string; directory: string }[];

  /** All that lies in the kit and the machines' lines, by name. */
  const shared = async () => {
    const kit = await readdir(join(server.dataDirectory, "kit"), { recursive: true });
    const lines = await readdir(join(server.dataDirectory, "lines"), { recursive: true });
    return [...kit, ...lines].toSorted();
  };

  beforeAll(async () => {
    server = await startServer({ runtime });
    sandbox = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
    hostDirectory = await mkdtemp(join(tmpdir(), "insien-host-"));
    hostFile = join(hostDirectory, "file");
    await writeFile(hostFile, CANARY, { mode: 0o666 });
    before = await shared();
    const prefixes = [
      "",
      "../../../../../..",
      "/proc/1/root",
      "/proc/self/root/..",
      "/proc/1/cwd/../..",
    ];
    ways = prefixes.map((prefix) => ({
      file: `${prefix}${hostFile}`,
      directory: `${prefix}${hostDirectory}`,
    }));
    for (const [index, { file, directory }] of ways.slice().entries()) {
      await sandbox.commands.run(["ln", "-s", file, `file-link-${index}`]);
      await sandbox.commands.run(["ln", "-s", directory, `directory-link-${index}`]);
      ways.push({ file: `file-link-${index}`, directory: `directory-link-${index}` });
      ways.push({ file: `directory-link-${index}/file`, directory: `directory-link-${index}/.` });
    }
  });
  afterAll(async () => {
    await rm(hostDirectory, { recursive: true, force: true });
    await server?.[Symbol.asyncDispose]();
  });

  const over = async (method: string, path: string, body?: string) => {
    const url = `${server.url}/api/v1/sandboxes/${sandbox.id}/files?path=${encodeURIComponent(path)}`;
    const init = { method, headers: server.headers, ...(body === undefined ? {} : { body }) };
    return (await fetch(url, init)).text();
  };

  /** Whatever a call gives or throws, as text. */
  const outcome = async (call: Promise<unknown>) =>
    JSON.stringify(await call.catch((error: unknown) => String(error))) ?? "";

  test("read nothing of the host", async () => {
    const { files } = sandbox;
    for (const { file, directory } of ways) {
      const calls = [
        ...[
          files.read(file),
          files.readBytes(file).then((bytes) => String(bytes)),
          over("GET", file),
        ],
        ...[files.list(directory, { depth: 3 }), files.search(directory, "canary")],
        ...[files.copy(file, `stolen-${newId()}`), files.copy(directory, `stolen-${newId()}`)],
        ...[files.move(file, `stolen-${newId()}`)],
      ];
      const outcomes = await Promise.all(calls.map(outcome));
      for (const [index, text] of outcomes.entries()) {
        expect(text, `call ${index} of ${file}`).not.toContain(CANARY);
      }
    }
    const found = await sandbox.commands.run("grep -rs canary- . /tmp | head -c 1000");
    expect(found.stdout).not.toContain(CANARY);
  });

  test("change nothing of the host", async () => {
    const { files } = sandbox;
    await files.write("own", WRITTEN);
    for (const { file, directory } of ways) {
      await outcome(files.write(file, WRITTEN));
      await outcome(over("PUT", file, WRITTEN));
      await outcome(files.copy("own", file, { overwrite: true }));
      await outcome(files.move("own", `${directory}/moved`, { overwrite: true }));
      await files.write("own", WRITTEN);
      await outcome(files.makeDirectory(`${directory}/made`));
      await outcome(files.chmod(file, 0o600));
      await outcome(files.chmod(directory, 0o700));
      await outcome(files.remove(file));
      await outcome(files.remove(directory, { recursive: true }));
    }
    expect(await readdir(hostDirectory)).toEqual(["file"]);
    expect(await readFile(hostFile, "utf8")).toBe(CANARY);
  });

  test("leave the kit and the line as they are", async () => {
    const { files } = sandbox;
    await files.write("own", WRITTEN);
    for (const root of [
      "/insien/kit",
      "/insien/line",
      "/proc/1/root/insien/line",
      "/insien/line/../kit",
    ]) {
      for (const name of ["", "/new", "/token", "/agent.cjs", "/line.sock"]) {
        const path = `${root}${name}`;
        await outcome(files.write(path, WRITTEN));
        await outcome(over("PUT", path, WRITTEN));
        await outcome(files.move("own", path, { overwrite: true }));
        await outcome(files.makeDirectory(`${path}/made`));
        await outcome(files.chmod(path, 0o777));
        await outcome(files.remove(path, { recursive: true }));
      }
    }
    expect(await shared()).toEqual(before);
    expect((await sandbox.commands.run(["echo", "well"])).stdout).toBe("well\n");
  });

  test("that loop, block or are no files end with an error", async () => {
    const { files } = sandbox;
    await sandbox.commands.run(
      "ln -s loop loop; mkfifo pipe; ln -s . self; ln -s /dev/zero endless",
    );
    for (const path of [
      "loop",
      "pipe",
      "endless",
      "/dev/zero",
      "/proc/self/mem",
      "/dev/tty",
      ".",
      "/insien/line/line.sock",
    ]) {
      expect(await outcome(files.read(path)), path).toMatch(/Error/);
      expect(JSON.parse(await over("GET", path)), path).toHaveProperty("error");
    }
    expect(await outcome(files.write("loop", "x"))).toMatch(/Error/);
    expect(await outcome(files.write("pipe", "x"))).toMatch(/Error/);
    const { entries } = await files.list(".", { depth: 20 });
    expect(entries.filter(({ path }) => path.includes("self/self"))).toEqual([]);
    await files.search("/proc/self", "no-such-text-anywhere").catch(() => undefined);
    await outcome(files.copy("/proc/self/fd", "copied"));
    expect(await outcome(files.read("a\0b"))).toMatch(/Error/);
    expect(await outcome(files.read("x/".repeat(3_000)))).toMatch(/Error/);
    expect((await sandbox.commands.run(["echo", "well"])).stdout).toBe("well\n");
  });

  test("that are links are removed themselves, not what they lead to", async () => {
    const { files } = sandbox;
    await files.write("kept/inner.txt", "kept");
    await sandbox.commands.run("ln -s kept link-to-kept; ln -s / link-to-root");
    await files.remove("link-to-kept", { recursive: true });
    await files.remove("link-to-root", { recursive: true });
    expect(await files.read("kept/inner.txt")).toBe("kept");
    expect(await files.exists("/bin/sh")).toBe(true);
    expect(await files.exists("link-to-root")).toBe(false);
  });

  test("are watched inside only", async () => {
    const seen: string[] = [];
    for (const { directory } of ways) {
      const watch = await sandbox.files
        .watch(directory, { recursive: true, onEvent: (event) => void seen.push(event.path) })
        .catch(() => undefined);
      if (watch === undefined) continue;
      await writeFile(join(hostDirectory, "seen"), "x");
      await rm(join(hostDirectory, "seen"));
      watch.stop();
    }
    expect(seen.filter((path) => path.endsWith("seen"))).toEqual([]);
  });
});
